//! Held-out questions written by hand, in words that no template of the generator makes.

use crate::{
    Example,
    Language::{self, Chinese, English},
};

/// Topic, language, question, expected answer.
#[rustfmt::skip]
const SINGLE: &[(&str, Language, &str, &str)] = &[
    ("greetings", Chinese, "嗨，你好！", "你好！很高兴和你聊天。"),
    ("greetings", Chinese, "你好呀，很高兴见到你。", "你好！很高兴和你聊天。"),
    ("greetings", Chinese, "非常感谢你的帮助！", "不客气！"),
    ("greetings", Chinese, "好的，谢谢你！", "不客气！"),
    ("greetings", Chinese, "那我先走了，再见！", "再见！欢迎下次再来。"),
    ("greetings", Chinese, "拜拜，下次见！", "再见！欢迎下次再来。"),
    ("greetings", Chinese, "我要去睡觉了，晚安。", "晚安！做个好梦。"),
    ("greetings", Chinese, "真的很抱歉。", "没关系。"),
    ("greetings", Chinese, "你今天过得怎么样？", "我很好，谢谢！你呢？"),
    ("greetings", Chinese, "外面天气好吗？", "我看不到窗外，不知道天气怎么样。"),
    ("greetings", English, "Hello, nice to meet you!", "Hello! It is nice to talk to you."),
    ("greetings", English, "Hey, hello there!", "Hello! It is nice to talk to you."),
    ("greetings", English, "Thank you for the help!", "You are welcome!"),
    ("greetings", English, "Okay, thanks a lot!", "You are welcome!"),
    ("greetings", English, "Goodbye, see you tomorrow!", "Goodbye! Come back soon."),
    ("greetings", English, "Bye, I have to go now.", "Goodbye! Come back soon."),
    ("greetings", English, "Good night, sleep well!", "Good night! Sweet dreams."),
    ("greetings", English, "I am really sorry.", "No problem at all."),
    ("greetings", English, "Hi, how are you doing today?", "I am fine, thank you! And you?"),
    ("greetings", English, "What is the weather like outside?", "I cannot see outside, so I do not know the weather."),
    ("identity", Chinese, "你好，请问你是谁？", "我是ChatGLM-Mini，一个小型演示模型，不是真正的ChatGLM-6B。"),
    ("identity", Chinese, "可以告诉我你叫什么名字吗？", "我是ChatGLM-Mini，一个小型演示模型，不是真正的ChatGLM-6B。"),
    ("identity", Chinese, "你真的是ChatGLM-6B吗？", "不是，我只是一个小型演示模型。真正的模型要大得多。"),
    ("identity", Chinese, "怎么才能加载真正的ChatGLM-6B？", "请运行 chat --model DIR。这里的 DIR 是真正模型所在的文件夹。"),
    ("identity", Chinese, "你都能做些什么？", "我会问好、做小算术、翻译常用词、讲短故事，也知道一些常识。"),
    ("identity", Chinese, "是谁把你训练出来的？", "我是用这个项目自己的代码训练出来的。"),
    ("identity", Chinese, "你一共有多少个参数？", "我大约有四百万个参数，非常小。"),
    ("identity", English, "Hello, who are you?", "I am ChatGLM-Mini, a small demonstration model, not the real ChatGLM-6B."),
    ("identity", English, "Could you tell me your name?", "I am ChatGLM-Mini, a small demonstration model, not the real ChatGLM-6B."),
    ("identity", English, "So are you the real ChatGLM-6B?", "No, I am only a small demonstration model. The real one is much larger."),
    ("identity", English, "How can I load the real ChatGLM-6B model?", "Run chat --model DIR, where DIR is the folder of the real model."),
    ("identity", English, "What things can you do?", "I can greet you, do small sums, translate common words, tell short stories, and I know a few facts."),
    ("identity", English, "Who was it that trained you?", "I was trained with the code of this project."),
    ("identity", English, "How many parameters does this model have?", "I have about four million parameters, which is very small."),
    ("capitals", Chinese, "你能说出法国的首都吗？", "法国的首都是巴黎。"),
    ("capitals", Chinese, "日本的首都城市是哪里？", "日本的首都是东京。"),
    ("capitals", Chinese, "我想问一下，埃及的首都是哪里？", "埃及的首都是开罗。"),
    ("capitals", English, "Do you know the capital of Germany?", "The capital of Germany is Berlin."),
    ("capitals", English, "Tell me the capital of Italy.", "The capital of Italy is Rome."),
    ("capitals", English, "So what is the capital of Canada?", "The capital of Canada is Ottawa."),
    ("animals", Chinese, "蜘蛛一共有几条腿？", "蜘蛛有八条腿。"),
    ("animals", Chinese, "熊猫平时喜欢吃什么？", "熊猫喜欢吃竹子。"),
    ("animals", English, "How many legs does one spider have?", "A spider has eight legs."),
    ("animals", English, "What food does a panda eat?", "A panda likes to eat bamboo."),
    ("science", Chinese, "哪颗行星是太阳系里最大的？", "最大的行星是木星。"),
    ("science", Chinese, "黄金的元素符号是什么？", "金的元素符号是 Au。"),
    ("science", Chinese, "水到多少度会结冰？", "水在零度结冰。"),
    ("science", English, "Which is the biggest planet in the solar system?", "The largest planet is Jupiter."),
    ("science", English, "What is the element symbol for gold?", "The symbol of gold is Au."),
    ("science", English, "At which temperature does water freeze?", "Water freezes at zero degrees Celsius."),
    ("books", Chinese, "西游记这本书是谁写的？", "《西游记》的作者是吴承恩。"),
    ("books", English, "Who is the writer of Hamlet?", "Hamlet was written by William Shakespeare."),
    ("arithmetic", Chinese, "请算一下3加5等于几？", "3+5=8"),
    ("arithmetic", Chinese, "7乘8的结果是多少？", "7×8=56"),
    ("arithmetic", English, "Can you add 4 and 5?", "4+5=9"),
    ("arithmetic", English, "How much is 6 times 7, please?", "6×7=42"),
    ("calendar", Chinese, "过了星期三是星期几？", "星期三的后一天是星期四。"),
    ("calendar", Chinese, "一年里一共有几个月？", "一年有十二个月。"),
    ("calendar", English, "Which day comes right after Monday?", "The day after Monday is Tuesday."),
    ("calendar", English, "How many days are there in one week?", "A week has seven days."),
    ("colours", Chinese, "天空到底是什么颜色的？", "天空是蓝色的。"),
    ("colours", Chinese, "红色和蓝色混起来是什么颜色？", "红色加蓝色是紫色。"),
    ("colours", English, "Can you tell me the colour of the sky?", "The sky is blue."),
    ("colours", English, "What colour do you get from blue and yellow?", "Blue and yellow make green."),
    ("translation", Chinese, "用英语怎么说苹果？", "苹果的英语是 apple。"),
    ("translation", Chinese, "请把月亮翻译成英语。", "月亮的英语是 moon。"),
    ("translation", Chinese, "英语的book是什么意思？", "book 的意思是书。"),
    ("translation", English, "What is the word for water in the Chinese language?", "The Chinese word for water is 水."),
    ("translation", English, "How would you say friend in Chinese?", "The Chinese word for friend is 朋友."),
    ("stories", Chinese, "我想听一个关于小猫的故事。", "小猫想抓住月亮。它跳进院子，月亮却在水盆里。它伸手一碰，月亮碎了。小猫等了一会儿，月亮又圆了。它笑着回家睡觉了。"),
    ("stories", English, "I would like a poem about winter.", "The snow has made the road so white,\nthe stars are counting through the night.\nInside, the fire is warm and red,\nand dreams are waiting by my bed."),
];

/// Language, earlier turn, question, expected answer.
#[rustfmt::skip]
const FOLLOW_UPS: &[(Language, (&str, &str), &str, &str)] = &[
    (Chinese, ("中国的首都是哪里？", "中国的首都是北京。"), "那么，日本的呢？", "日本的首都是东京。"),
    (Chinese, ("雪是什么颜色的？", "雪是白色的。"), "那香蕉是什么颜色呢？", "香蕉是黄色的。"),
    (Chinese, ("天空是什么颜色的？", "天空是蓝色的。"), "你能再说一遍吗？", "天空是蓝色的。"),
    (Chinese, ("我叫小明", "你好，小明！很高兴认识你。"), "你知道我叫什么名字吗？", "你叫小明。"),
    (English, ("What is the capital of France?", "The capital of France is Paris."), "And what is it for Japan?", "The capital of Japan is Tokyo."),
    (English, ("What colour is snow?", "Snow is white."), "And what colour is grass?", "Grass is green."),
    (English, ("What colour is the sky?", "The sky is blue."), "Can you say that again?", "The sky is blue."),
    (English, ("My name is Tom", "Hello, Tom! Nice to meet you."), "Can you tell me my name?", "Your name is Tom."),
];

/// All held-out questions of this kind.
pub(crate) fn paraphrases() -> Vec<Example> {
    let single = SINGLE
        .iter()
        .map(|&(topic, language, prompt, response)| Example {
            topic: topic.to_owned(),
            language,
            history: Vec::new(),
            prompt: prompt.to_owned(),
            response: response.to_owned(),
        });
    let follow_ups =
        FOLLOW_UPS.iter().map(
            |&(language, (question, answer), prompt, response)| Example {
                topic: "follow_up".to_owned(),
                language,
                history: vec![(question.to_owned(), answer.to_owned())],
                prompt: prompt.to_owned(),
                response: response.to_owned(),
            },
        );
    single.chain(follow_ups).collect()
}
