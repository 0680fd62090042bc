//! Who wrote well-known books, and what an author wrote.

use crate::{
    Language::{Chinese, English},
    intent::Intent,
    phrasing::Phrasing::Question,
};

const TOPIC: &str = "books";

/// Chinese title and author, English title and author.
#[rustfmt::skip]
const BOOKS: &[[&str; 4]] = &[
    ["红楼梦", "曹雪芹", "Dream of the Red Chamber", "Cao Xueqin"],
    ["西游记", "吴承恩", "Journey to the West", "Wu Cheng'en"],
    ["水浒传", "施耐庵", "Water Margin", "Shi Nai'an"],
    ["三国演义", "罗贯中", "Romance of the Three Kingdoms", "Luo Guanzhong"],
    ["哈姆雷特", "莎士比亚", "Hamlet", "William Shakespeare"],
    ["傲慢与偏见", "简·奥斯汀", "Pride and Prejudice", "Jane Austen"],
    ["堂吉诃德", "塞万提斯", "Don Quixote", "Miguel de Cervantes"],
    ["战争与和平", "托尔斯泰", "War and Peace", "Leo Tolstoy"],
    ["雾都孤儿", "狄更斯", "Oliver Twist", "Charles Dickens"],
    ["老人与海", "海明威", "The Old Man and the Sea", "Ernest Hemingway"],
    ["爱丽丝梦游仙境", "刘易斯·卡罗尔", "Alice in Wonderland", "Lewis Carroll"],
    ["浮士德", "歌德", "Faust", "Goethe"],
];
const AUTHOR_CHINESE: &[&str] = &[
    "《{b}》是谁写的",
    "谁写了《{b}》",
    "《{b}》的作者是谁",
    "{b}是谁写的",
    "{b}的作者是谁",
    "谁是《{b}》的作者",
];
const AUTHOR_ENGLISH: &[&str] = &[
    "Who wrote {b}",
    "Who is the author of {b}",
    "Who was the author of {b}",
    "Which author wrote {b}",
    "By whom was {b} written",
    "{b} was written by whom",
];
const BOOK_CHINESE: &[&str] = &[
    "{a}写了什么",
    "{a}写了哪本书",
    "{a}的作品是什么",
    "{a}写过什么书",
];
const BOOK_ENGLISH: &[&str] = &[
    "What did {a} write",
    "Which book did {a} write",
    "What book was written by {a}",
    "What is a book by {a}",
];

pub(crate) fn intents() -> Vec<Intent> {
    BOOKS
        .iter()
        .flat_map(|&[title_chinese, author_chinese, title, author]| {
            [
                Intent::new(
                    TOPIC,
                    Chinese,
                    format!("《{title_chinese}》的作者是{author_chinese}。"),
                )
                .ask_template(Question, AUTHOR_CHINESE, &[("{b}", title_chinese)])
                .lines(6),
                Intent::new(TOPIC, English, format!("{title} was written by {author}."))
                    .ask_template(Question, AUTHOR_ENGLISH, &[("{b}", title)])
                    .lines(6),
                Intent::new(
                    TOPIC,
                    Chinese,
                    format!("{author_chinese}写了《{title_chinese}》。"),
                )
                .ask_template(Question, BOOK_CHINESE, &[("{a}", author_chinese)])
                .lines(4),
                Intent::new(TOPIC, English, format!("{author} wrote {title}."))
                    .ask_template(Question, BOOK_ENGLISH, &[("{a}", author)])
                    .lines(4),
            ]
        })
        .collect()
}
