//! Which tokens a token may look at. In both families that is one range for each query: everything from the first real
//! token up to the query itself, or up to the end of the context that everyone sees.

use burn::tensor::{Bool, Device, Tensor, TensorData};

pub use glm_backends::cpu::Span;

/// What the queries of each row of a batch see; the CPU kernels take it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionMask {
    /// One for each row.
    spans: Vec<Span>,
}

impl AttentionMask {
    /// A mask of one span for each row.
    pub fn new(spans: Vec<Span>) -> Self {
        Self { spans }
    }

    /// The spans, one for each row.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// True where query `query` of row `row` must not look at key `key`, both counted from the start of the padded row.
    /// Padding sees nothing and is seen by nobody.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn is_masked(&self, row: usize, query: usize, key: usize) -> bool {
        let Span { first, context } = self.spans[row];
        query < first || key < first || key >= context.max(query + 1)
    }

    /// The mask as a tensor `[batch, 1, seq, start + seq]` for queries `start..start + seq`, true where a query must not
    /// look; `None` when nothing is hidden.
    pub fn to_tensor(&self, start: usize, seq: usize, device: &Device) -> Option<Tensor<4, Bool>> {
        let (batch, total) = (self.spans.len(), start + seq);
        let mut masked = Vec::with_capacity(batch * seq * total);
        for row in 0..batch {
            for query in start..total {
                masked.extend((0..total).map(|key| self.is_masked(row, query, key)));
            }
        }
        let shape = [batch, 1, seq, total];
        masked
            .contains(&true)
            .then(|| Tensor::from_data(TensorData::new(masked, shape), device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_seen_by_all_and_the_rest_from_behind() {
        let spans = vec![
            Span {
                first: 0,
                context: 2,
            },
            Span {
                first: 1,
                context: 3,
            },
        ];
        let mask = AttentionMask::new(spans);
        let tensor = mask.to_tensor(0, 4, &Device::default()).unwrap();
        let found = tensor.into_data().try_to_vec::<bool>().unwrap();
        let picture: Vec<String> = found
            .chunks(4)
            .map(|row| {
                row.iter()
                    .map(|&masked| if masked { '.' } else { 'x' })
                    .collect()
            })
            .collect();
        let expected = [
            "xx..", "xx..", "xxx.", "xxxx", "....", ".xx.", ".xx.", ".xxx",
        ];
        assert_eq!(picture, expected);
        assert!(mask.to_tensor(3, 1, &Device::default()).is_some());
        let open = AttentionMask::new(vec![Span {
            first: 0,
            context: 0,
        }]);
        assert!(open.to_tensor(3, 1, &Device::default()).is_none());
    }
}
