//! Animals: how many legs they have, what they eat, where they live, what sound they make.

use crate::{
    Language::{Chinese, English},
    intent::{Intent, fill},
    phrasing::Phrasing::Question,
};

const TOPIC: &str = "animals";

/// One kind of question about animals: templates and answers in both languages, where `N` and
/// `A` (`{n}` and `{a}` in English, `{p}` in plural) stand for the animal and the answer.
struct Aspect {
    questions_chinese: &'static [&'static str],
    answer_chinese: &'static str,
    questions_english: &'static [&'static str],
    answer_english: &'static str,
    /// Chinese name and answer, then English name with its article, plural, and answer.
    animals: &'static [[&'static str; 5]],
}

#[rustfmt::skip]
const ASPECTS: &[Aspect] = &[
    Aspect {
        questions_chinese: &["N有几条腿", "N有多少条腿", "一只N有几条腿", "N长着几条腿", "N的腿有几条"],
        answer_chinese: "N有A条腿。",
        questions_english: &[
            "How many legs does {n} have", "How many legs do {p} have", "How many legs has {n}",
            "What number of legs does {n} have", "How many legs can you count on {n}",
        ],
        answer_english: "{n} has {a} legs.",
        animals: &[
            ["狗", "四", "a dog", "dogs", "four"],
            ["猫", "四", "a cat", "cats", "four"],
            ["马", "四", "a horse", "horses", "four"],
            ["牛", "四", "a cow", "cows", "four"],
            ["鸡", "两", "a chicken", "chickens", "two"],
            ["鸭子", "两", "a duck", "ducks", "two"],
            ["蜘蛛", "八", "a spider", "spiders", "eight"],
            ["蚂蚁", "六", "an ant", "ants", "six"],
            ["蜜蜂", "六", "a bee", "bees", "six"],
            ["蝴蝶", "六", "a butterfly", "butterflies", "six"],
        ],
    },
    Aspect {
        questions_chinese: &["N喜欢吃什么", "N吃什么", "N爱吃什么", "N的食物是什么", "什么是N的食物"],
        answer_chinese: "N喜欢吃A。",
        questions_english: &[
            "What does {n} eat", "What do {p} eat", "What does {n} like to eat",
            "What do {p} like to eat", "What is the food of {n}",
        ],
        answer_english: "{n} likes to eat {a}.",
        animals: &[
            ["兔子", "青草", "a rabbit", "rabbits", "grass"],
            ["熊猫", "竹子", "a panda", "pandas", "bamboo"],
            ["猴子", "水果", "a monkey", "monkeys", "fruit"],
            ["狮子", "肉", "a lion", "lions", "meat"],
            ["老虎", "肉", "a tiger", "tigers", "meat"],
            ["松鼠", "坚果", "a squirrel", "squirrels", "nuts"],
            ["羊", "青草", "a sheep", "sheep", "grass"],
            ["猫", "鱼", "a cat", "cats", "fish"],
            ["狗", "骨头", "a dog", "dogs", "bones"],
            ["青蛙", "虫子", "a frog", "frogs", "insects"],
        ],
    },
    Aspect {
        questions_chinese: &["N住在哪里", "N生活在哪里", "N的家在哪里", "哪里有N", "在哪里能看到N"],
        answer_chinese: "N生活在A。",
        questions_english: &[
            "Where does {n} live", "Where do {p} live", "Where is the home of {n}",
            "Where can I find {n}", "Where can I see {p}",
        ],
        answer_english: "{n} lives in the {a}.",
        animals: &[
            ["鲸鱼", "大海里", "a whale", "whales", "sea"],
            ["鲨鱼", "大海里", "a shark", "sharks", "sea"],
            ["骆驼", "沙漠里", "a camel", "camels", "desert"],
            ["猴子", "森林里", "a monkey", "monkeys", "forest"],
            ["青蛙", "池塘里", "a frog", "frogs", "pond"],
            ["老虎", "森林里", "a tiger", "tigers", "forest"],
            ["熊", "森林里", "a bear", "bears", "forest"],
            ["狮子", "草原上", "a lion", "lions", "grassland"],
        ],
    },
    Aspect {
        questions_chinese: &["N怎么叫", "N的叫声是什么", "N是怎么叫的", "N发出什么声音", "N的声音是什么"],
        answer_chinese: "N的叫声是A。",
        questions_english: &[
            "What sound does {n} make", "What does {n} say", "What is the sound of {n}",
            "What sound do {p} make", "What noise does {n} make",
        ],
        answer_english: "{n} says {a}.",
        animals: &[
            ["猫", "喵喵", "a cat", "cats", "meow"],
            ["狗", "汪汪", "a dog", "dogs", "woof"],
            ["牛", "哞哞", "a cow", "cows", "moo"],
            ["羊", "咩咩", "a sheep", "sheep", "baa"],
            ["鸭子", "嘎嘎", "a duck", "ducks", "quack"],
            ["青蛙", "呱呱", "a frog", "frogs", "ribbit"],
        ],
    },
    Aspect {
        questions_chinese: &["N的孩子叫什么", "N的宝宝叫什么", "小时候的N叫什么", "怎么称呼N的宝宝"],
        answer_chinese: "N的宝宝叫A。",
        questions_english: &[
            "What is a baby of {n} called", "What do you call the baby of {n}",
            "What is the young of {n} called", "What do we call the young of {n}",
        ],
        answer_english: "The baby of {n} is called {a}.",
        animals: &[
            ["狗", "小狗", "a dog", "dogs", "a puppy"],
            ["猫", "小猫", "a cat", "cats", "a kitten"],
            ["牛", "牛犊", "a cow", "cows", "a calf"],
            ["羊", "羊羔", "a sheep", "sheep", "a lamb"],
            ["马", "马驹", "a horse", "horses", "a foal"],
            ["鸡", "小鸡", "a chicken", "chickens", "a chick"],
            ["鸭子", "小鸭", "a duck", "ducks", "a duckling"],
            ["青蛙", "蝌蚪", "a frog", "frogs", "a tadpole"],
        ],
    },
];

pub(crate) fn intents() -> Vec<Intent> {
    ASPECTS.iter().flat_map(about).collect()
}

fn about(aspect: &Aspect) -> impl Iterator<Item = Intent> {
    aspect
        .animals
        .iter()
        .flat_map(|[chinese, answer_chinese, english, plural, answer]| {
            let chinese = [("N", *chinese), ("A", *answer_chinese)];
            let english = [("{n}", *english), ("{p}", *plural), ("{a}", *answer)];
            let english_answer = fill(aspect.answer_english, &english);
            [
                Intent::new(TOPIC, Chinese, fill(aspect.answer_chinese, &chinese))
                    .ask_template(Question, aspect.questions_chinese, &chinese)
                    .lines(4),
                Intent::new(TOPIC, English, crate::intent::capitalised(&english_answer))
                    .ask_template(Question, aspect.questions_english, &english)
                    .lines(4),
            ]
        })
}
