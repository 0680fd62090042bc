//! Common words, Chinese to English and English to Chinese, asked in either language.

use crate::{
    Language::{Chinese, English},
    intent::Intent,
    phrasing::Phrasing::Question,
};

const TOPIC: &str = "translation";

/// Pairs that need no context: one usual English word for one usual Chinese word.
#[rustfmt::skip]
pub(crate) const WORDS: &[(&str, &str)] = &[
    // Animals
    ("猫", "cat"), ("狗", "dog"), ("鸟", "bird"), ("鱼", "fish"), ("马", "horse"), ("牛", "cow"),
    ("羊", "sheep"), ("猪", "pig"), ("鸡", "chicken"), ("鸭子", "duck"), ("老虎", "tiger"), ("狮子", "lion"),
    ("大象", "elephant"), ("兔子", "rabbit"), ("猴子", "monkey"), ("熊", "bear"), ("狼", "wolf"),
    ("狐狸", "fox"), ("青蛙", "frog"), ("蜜蜂", "bee"), ("蝴蝶", "butterfly"), ("乌龟", "turtle"),
    // Nature
    ("太阳", "sun"), ("月亮", "moon"), ("星星", "star"), ("天空", "sky"), ("云", "cloud"), ("雨", "rain"),
    ("雪", "snow"), ("风", "wind"), ("山", "mountain"), ("河", "river"), ("海", "sea"), ("湖", "lake"),
    ("树", "tree"), ("花", "flower"), ("草", "grass"), ("森林", "forest"), ("石头", "stone"), ("火", "fire"),
    ("水", "water"), ("冰", "ice"), ("岛", "island"), ("世界", "world"),
    // Food
    ("苹果", "apple"), ("香蕉", "banana"), ("葡萄", "grape"), ("西瓜", "watermelon"), ("柠檬", "lemon"),
    ("面包", "bread"), ("米饭", "rice"), ("面条", "noodles"), ("鸡蛋", "egg"), ("牛奶", "milk"), ("茶", "tea"),
    ("咖啡", "coffee"), ("糖", "sugar"), ("盐", "salt"), ("汤", "soup"), ("蛋糕", "cake"), ("肉", "meat"),
    ("水果", "fruit"),
    // House
    ("房子", "house"), ("门", "door"), ("窗户", "window"), ("桌子", "table"), ("椅子", "chair"), ("床", "bed"),
    ("灯", "lamp"), ("杯子", "cup"), ("碗", "bowl"), ("刀", "knife"), ("勺子", "spoon"), ("厨房", "kitchen"),
    ("花园", "garden"), ("钥匙", "key"), ("电脑", "computer"), ("镜子", "mirror"),
    // School
    ("书", "book"), ("笔", "pen"), ("铅笔", "pencil"), ("纸", "paper"), ("学校", "school"), ("老师", "teacher"),
    ("学生", "student"), ("字典", "dictionary"), ("地图", "map"), ("信", "letter"), ("问题", "question"),
    ("图书馆", "library"), ("语言", "language"),
    // People and the body
    ("男孩", "boy"), ("女孩", "girl"), ("父亲", "father"), ("母亲", "mother"), ("朋友", "friend"),
    ("医生", "doctor"), ("农民", "farmer"), ("国王", "king"), ("孩子", "child"), ("名字", "name"),
    ("头", "head"), ("手", "hand"), ("脚", "foot"), ("眼睛", "eye"), ("耳朵", "ear"), ("鼻子", "nose"),
    ("嘴", "mouth"), ("心", "heart"), ("头发", "hair"), ("牙齿", "tooth"),
    // Clothes and the town
    ("帽子", "hat"), ("鞋子", "shoe"), ("衬衫", "shirt"), ("雨伞", "umbrella"), ("汽车", "car"), ("火车", "train"),
    ("飞机", "plane"), ("船", "ship"), ("自行车", "bicycle"), ("桥", "bridge"), ("路", "road"), ("城市", "city"),
    ("村庄", "village"), ("国家", "country"), ("医院", "hospital"), ("商店", "shop"),
    // Time, music, and so on
    ("今天", "today"), ("明天", "tomorrow"), ("昨天", "yesterday"), ("早上", "morning"), ("晚上", "evening"),
    ("年", "year"), ("时间", "time"), ("音乐", "music"), ("和平", "peace"), ("梦", "dream"), ("故事", "story"),
    ("礼物", "gift"), ("钱", "money"),
    // Qualities
    ("大", "big"), ("小", "small"), ("高", "tall"), ("长", "long"), ("新", "new"), ("旧", "old"), ("快", "fast"),
    ("慢", "slow"), ("热", "hot"), ("冷", "cold"), ("好", "good"), ("坏", "bad"), ("红色", "red"),
    ("蓝色", "blue"), ("绿色", "green"), ("黄色", "yellow"), ("白色", "white"), ("黑色", "black"),
    ("快乐", "happy"), ("悲伤", "sad"), ("漂亮", "beautiful"), ("聪明", "clever"), ("安静", "quiet"),
    // Doing
    ("吃", "eat"), ("喝", "drink"), ("跑", "run"), ("走", "walk"), ("睡觉", "sleep"), ("读", "read"),
    ("写", "write"), ("唱歌", "sing"), ("跳舞", "dance"), ("游泳", "swim"), ("飞", "fly"), ("看", "see"),
    ("听", "listen"), ("说", "speak"), ("爱", "love"), ("笑", "laugh"), ("学习", "study"), ("工作", "work"),
];

const TO_ENGLISH_CHINESE: &[&str] = &[
    "{c}用英语怎么说",
    "{c}的英语是什么",
    "{c}用英文怎么说",
    "{c}的英文是什么",
    "{c}英语怎么说",
    "英语里{c}怎么说",
    "把{c}翻译成英语是什么",
];
const TO_CHINESE_CHINESE: &[&str] = &[
    "{e}是什么意思",
    "{e}用中文怎么说",
    "{e}的中文是什么",
    "{e}翻译成中文是什么",
    "英语单词 {e} 是什么意思",
    "单词 {e} 的意思是什么",
    "{e}的意思是什么",
];
const TO_CHINESE_ENGLISH: &[&str] = &[
    "How do you say {e} in Chinese",
    "What is {e} in Chinese",
    "What is the Chinese word for {e}",
    "How do I say {e} in Chinese",
    "What is the word for {e} in Chinese",
    "What is the Chinese for {e}",
];
const TO_ENGLISH_ENGLISH: &[&str] = &[
    "What does {c} mean",
    "What does {c} mean in English",
    "What is {c} in English",
    "How do you say {c} in English",
    "What is the English word for {c}",
    "What is the meaning of {c}",
];

/// The canonical question and answer, which follow-ups build on.
pub(crate) fn turn_chinese(&(chinese, english): &(&str, &str)) -> (String, String) {
    (
        format!("{chinese}用英语怎么说？"),
        format!("{chinese}的英语是 {english}。"),
    )
}

/// The canonical question and answer, which follow-ups build on.
pub(crate) fn turn_english(&(chinese, english): &(&str, &str)) -> (String, String) {
    (
        format!("How do you say {english} in Chinese?"),
        format!("The Chinese word for {english} is {chinese}."),
    )
}

pub(crate) fn intents() -> Vec<Intent> {
    WORDS.iter().flat_map(about).collect()
}

fn about(word: &(&str, &str)) -> [Intent; 4] {
    let (chinese, english) = *word;
    let values = [("{c}", chinese), ("{e}", english)];
    [
        Intent::new(TOPIC, Chinese, turn_chinese(word).1)
            .ask_template(Question, TO_ENGLISH_CHINESE, &values)
            .lines(2),
        Intent::new(TOPIC, English, turn_english(word).1)
            .ask_template(Question, TO_CHINESE_ENGLISH, &values)
            .lines(2),
        Intent::new(TOPIC, Chinese, format!("{english} 的意思是{chinese}。"))
            .ask_template(Question, TO_CHINESE_CHINESE, &values)
            .lines(2),
        Intent::new(TOPIC, English, format!("{chinese} means {english}."))
            .ask_template(Question, TO_ENGLISH_ENGLISH, &values)
            .lines(2),
    ]
}
