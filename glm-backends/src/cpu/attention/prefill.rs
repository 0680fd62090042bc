//! Many queries. A task takes up to [`QUERIES`] queries of the heads that share keys, token by token, and walks over the
//! keys with all of them ([`super::tile`]): so keys are widened to f32 once for many queries.

use std::{cell::RefCell, ops::Range};

use super::{Call, divide, tile};
use crate::cpu::{
    chunks::Parts,
    lanes::{Kernel, Lanes, run_at},
    level::CpuLevel,
    pool,
};

/// Queries of a task.
const QUERIES: usize = 256;

/// Vectors of queries in a tile.
const VECTORS: usize = 2;

thread_local! {
    static SCRATCH: RefCell<tile::Scratch<VECTORS>> = RefCell::default();
}

pub(super) fn attention(level: CpuLevel, call: Call<'_>, out: &mut [f32]) {
    let kv_heads = call.layout.kv_heads;
    let queries = call.group() * call.step.seq;
    let tasks_of_head = queries.div_ceil(QUERIES);
    let out = Parts::new(out);
    pool::for_each(call.step.batch * kv_heads * tasks_of_head, |task| {
        // The last queries see the most keys: first, so that threads finish together.
        let part = tasks_of_head - 1 - task % tasks_of_head;
        let head = task / tasks_of_head;
        SCRATCH.with_borrow_mut(|scratch| {
            let some = SomeQueries {
                call,
                batch: head / kv_heads,
                kv_head: head % kv_heads,
                queries: part * QUERIES..queries.min((part + 1) * QUERIES),
                scratch,
                out: &out,
            };
            run_at(level, some);
        });
    });
}

/// Some queries of a key head; the only one that writes their results.
struct SomeQueries<'a> {
    call: Call<'a>,
    batch: usize,
    kv_head: usize,
    /// Their numbers: all heads of the first token, then those of the next.
    queries: Range<usize>,
    scratch: &'a mut tile::Scratch<VECTORS>,
    out: &'a Parts<'a, f32>,
}

impl Kernel for SomeQueries<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, lanes: L) {
        let Self {
            call,
            batch,
            kv_head,
            queries,
            ..
        } = self;
        let group = call.group();
        let query = |number: usize| {
            let number = queries.start + number;
            (number / group, kv_head * group + number % group)
        };
        let keys = call.spans[batch].first..call.step.total();
        let count = queries.len();
        let scratch = self.scratch;
        scratch.take(lanes, &call, batch, count, query);
        scratch.attend(lanes, &call, (batch, kv_head), keys);
        for number in 0..count {
            let (index, head) = query(number);
            // SAFETY: a query of a head is in one task, and the last part has gone out of use.
            let out = unsafe { self.out.part(call.query_place(batch, index, head)) };
            let (_, sum) = scratch.seen(number, out);
            divide(lanes, out, lanes.splat(sum));
        }
    }
}
