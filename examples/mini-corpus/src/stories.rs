//! Short stories and poems, written for this corpus.

use crate::{
    Language::{self, Chinese, English},
    intent::Intent,
    phrasing::Phrasing::Request,
};

const TOPIC: &str = "stories";

/// What kind of text, and how it is asked for; `{s}` is the subject.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Story,
    Poem,
}

impl Form {
    fn requests(self, language: Language) -> &'static [&'static str] {
        match (self, language) {
            (Self::Story, Chinese) => &[
                "讲一个关于{s}的故事",
                "讲个{s}的故事",
                "给我讲一个{s}的故事",
                "说一个关于{s}的故事",
                "写一个关于{s}的小故事",
                "我想听{s}的故事",
                "来一个{s}的故事",
            ],
            (Self::Poem, Chinese) => &[
                "写一首关于{s}的诗",
                "写一首{s}的诗",
                "给我写一首关于{s}的小诗",
                "念一首关于{s}的诗",
                "来一首{s}的诗",
                "我想听一首关于{s}的诗",
                "作一首关于{s}的诗",
            ],
            (Self::Story, English) => &[
                "Tell me a story about {s}",
                "Tell a story about {s}",
                "Tell me a short story about {s}",
                "Write a story about {s}",
                "Write a short story about {s}",
                "Give me a story about {s}",
                "Make up a story about {s}",
            ],
            (Self::Poem, English) => &[
                "Write a poem about {s}",
                "Write me a poem about {s}",
                "Write a short poem about {s}",
                "Tell me a poem about {s}",
                "Give me a poem about {s}",
                "Make a poem about {s}",
                "Recite a poem about {s}",
            ],
        }
    }
}

/// Form, language, subject, text.
#[rustfmt::skip]
const TEXTS: &[(Form, Language, &str, &str)] = &[
    (Form::Story, Chinese, "小猫", "小猫想抓住月亮。它跳进院子，月亮却在水盆里。它伸手一碰，月亮碎了。小猫等了一会儿，月亮又圆了。它笑着回家睡觉了。"),
    (Form::Story, Chinese, "小狗", "小狗捡到一把钥匙。它问了邮递员，又问了老奶奶。原来钥匙是小男孩的。男孩抱住小狗，请它吃了一块饼干。"),
    (Form::Story, Chinese, "兔子", "兔子种了一排萝卜。冬天来了，朋友们没有吃的。兔子把萝卜分给大家。春天，朋友们一起帮它种了十排萝卜。"),
    (Form::Story, Chinese, "老树", "山上有一棵老树。孩子们来乘凉，小鸟来做窝。有一天老树病了，孩子们每天给它浇水。第二年，老树又长出了新叶。"),
    (Form::Story, Chinese, "小船", "一只小船想看大海。它顺着小河漂了三天。大海很大，浪也很高。小船有点怕，可是灯塔亮了，带它回到了港口。"),
    (Form::Story, Chinese, "星星", "一颗小星星觉得自己太暗了。夜里，一个迷路的孩子抬头看见它，找到了回家的路。从此小星星每晚都努力发光。"),
    (Form::Story, Chinese, "大象", "大象总是踩坏小路，它很难过。下雨后，它的脚印里装满了水。口渴的小鸟都来喝水。大象高兴地甩了甩鼻子。"),
    (Form::Story, Chinese, "机器人", "小机器人不会笑。它问花，问云，问风，都没有答案。后来它帮一位老人找到了眼镜。老人笑了，小机器人也笑了。"),
    (Form::Poem, Chinese, "春天", "春风吹过小河，\n柳树弯下了腰。\n燕子带来口信，\n花儿都睡醒了。"),
    (Form::Poem, Chinese, "夏天", "太阳爬得很高，\n知了在树上叫。\n我躲进绿荫里，\n等一阵凉风到。"),
    (Form::Poem, Chinese, "秋天", "叶子变成小船，\n慢慢落到水面。\n果园里满是香，\n大雁飞得很远。"),
    (Form::Poem, Chinese, "冬天", "白雪盖住屋顶，\n小路安安静静。\n炉火红红的脸，\n陪我数着星星。"),
    (Form::Poem, Chinese, "月亮", "月亮是一盏灯，\n挂在我的窗前。\n我睡着的时候，\n它轻轻走过天。"),
    (Form::Poem, Chinese, "大海", "大海唱着老歌，\n一浪接着一浪。\n贝壳听得入迷，\n留下蓝色回响。"),
    (Form::Poem, Chinese, "母亲", "您的手很温暖，\n您的话像小溪。\n无论我走多远，\n心里都住着您。"),
    (Form::Story, English, "a cat", "A small cat wanted to catch the moon. She found it in a bowl of water. She touched it and it broke. She waited, and the moon was round again. She smiled and went to sleep."),
    (Form::Story, English, "a dog", "A dog found a key in the street. He showed it to everyone in town. At last a little boy said it was his. The boy hugged the dog and gave him a biscuit."),
    (Form::Story, English, "a rabbit", "A rabbit grew one row of carrots. In winter his friends had no food, so he shared them all. In spring his friends came back and planted ten rows for him."),
    (Form::Story, English, "a tree", "An old tree stood on a hill. Children played in its shade and birds lived in it. One day it was sick, and the children brought it water. Next year it had new leaves."),
    (Form::Story, English, "a boat", "A little boat wanted to see the sea. It went down the river for three days. The waves were high and it was afraid. Then a light on the shore led it home."),
    (Form::Story, English, "a star", "A small star thought it was too weak. One night a lost child looked up, saw it, and found the way home. Since then the star shines as well as it can."),
    (Form::Story, English, "a robot", "A robot could not smile. It asked the flowers and the wind, but they did not know how. One day it helped an old man find his glasses. He smiled, and the robot smiled too."),
    (Form::Poem, English, "spring", "The wind has warm and gentle hands,\nit wakes the river, wakes the lands.\nA bird comes home, a bud says yes,\nand every field has a green dress."),
    (Form::Poem, English, "summer", "The sun climbs high, the day is long,\nthe bees are humming one old song.\nI find a tree, I find its shade,\nand drink the cool that leaves have made."),
    (Form::Poem, English, "autumn", "The leaves are boats of red and gold,\nthey sail the air, the air is cold.\nThe geese fly south, the apples fall,\nand soft grey mist lies on it all."),
    (Form::Poem, English, "winter", "The snow has made the road so white,\nthe stars are counting through the night.\nInside, the fire is warm and red,\nand dreams are waiting by my bed."),
    (Form::Poem, English, "the moon", "The moon is just a quiet light\nthat someone hung up for the night.\nAnd while I sleep it walks along\nand hums a very silver song."),
    (Form::Poem, English, "the sea", "The sea has songs it learned before,\nit sings them slowly to the shore.\nA shell lies still and hears it all\nand keeps the sound of every call."),
];

pub(crate) fn intents() -> Vec<Intent> {
    let texts = TEXTS.iter().map(|&(form, language, subject, text)| {
        Intent::new(TOPIC, language, text)
            .ask_template(Request, form.requests(language), &[("{s}", subject)])
            .lines(7)
    });
    let any = [
        (
            Form::Story,
            Chinese,
            "小猫",
            [
                "讲个故事",
                "给我讲一个故事",
                "讲一个小故事",
                "我想听故事",
                "来一个故事",
            ],
        ),
        (
            Form::Poem,
            Chinese,
            "春天",
            [
                "写一首诗",
                "给我写一首诗",
                "写一首小诗",
                "念一首诗",
                "来一首诗",
            ],
        ),
        (
            Form::Story,
            English,
            "a cat",
            [
                "Tell me a story",
                "Tell a story",
                "Tell me a short story",
                "Write a story",
                "Give me a story",
            ],
        ),
        (
            Form::Poem,
            English,
            "spring",
            [
                "Write a poem",
                "Write me a poem",
                "Write a short poem",
                "Tell me a poem",
                "Give me a poem",
            ],
        ),
    ];
    // Asked for any story or poem, the model tells its first one.
    let any = any
        .into_iter()
        .filter_map(|(form, language, subject, requests)| {
            let (.., text) = TEXTS.iter().find(|(of, in_language, about, _)| {
                *of == form && *in_language == language && *about == subject
            })?;
            Some(
                Intent::new(TOPIC, language, *text)
                    .ask(Request, requests)
                    .lines(7),
            )
        });
    texts.chain(any).collect()
}
