"""Signs that a text is not what was asked for: refusals, hedges, leaked tokens, a cut end.

Each pattern holds the phrases of eight languages (en, de, fr, es, ru, zh, ja, ar); a text in
another language shows none of these signs, whatever it says.
"""

import re

REFUSALS = (
    r"\b(?:i'?m|i am) (?:very |so |really )?sorry\b(?=,? (?:but|i\b|that|for)|[.,!])",
    r"\bi (?:cannot|can ?not|can'?t|am unable to|'m unable to|am not able to|'m not able to|do not|"
    r"don'?t|won'?t|will not|could not|couldn'?t) (?:have the ability|see|view|access|describe|"
    r"assist|help|provide|identify|process|determine|recogni[sz]e|generate|create|comply|engage|"
    r"answer|write|make out|open|display|fulfil|tell)",
    r"\bunable to (?:see|view|assist|describe|process|identify|provide|access|load|comply)",
    r"\bcannot (?:assist|help|comply) with\b",
    r"\bas an? (?:ai|artificial intelligence|large language model|language model|text-based)\b",
    r"\b(?:no|not any|without an) image (?:was|is|has been|to) (?:provided|attached|uploaded|given|"
    r"shown|included|describe)\b",
    r"\bplease (?:provide|upload|attach|share|send) (?:me )?(?:the|an|a|your) (?:image|picture|"
    r"photo)",
    r"\b(?:image|picture|photo) (?:is|was|could) not (?:be )?(?:provided|available|visible|loaded|"
    r"attached|displayed)",
    r"\bagainst (?:my|our|the) (?:policy|policies|guidelines)\b",
    r"\btut mir (?:\w+ )?leid\b|\bich kann (?:das|dieses|diese|dir|ihnen|dabei|leider|hier)?\s?"
    r"(?:leider |kein |nicht |bild |dabei |anfrage |bei )",
    r"\bals (?:eine? )?(?:ki|künstliche intelligenz|sprachmodell)\b|\bnicht in der lage\b",
    r"\b(?:es wurde |wurde )?kein bild (?:bereitgestellt|angehängt|hochgeladen|vorhanden|"
    r"übermittelt)",
    r"\bje (?:suis )?(?:vraiment )?désolée?\b|^désolée?\b|\bje ne (?:peux|suis) pas (?:en mesure|"
    r"capable|voir|décrire|aider|fournir|identifier|traiter|vous|répondre)",
    r"\ben tant qu['’](?:ia|intelligence artificielle|assistant|modèle)|\baucune image (?:n['’]a|"
    r"n['’]est|fournie|jointe)",
    r"\blo siento\b|\bno (?:puedo|soy capaz de|me es posible) (?:ver|describir|ayudar|proporcionar|"
    r"identificar|procesar|acceder|responder|cumplir|generar)",
    r"\bcomo (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje|asistente)\b|\bno se (?:ha "
    r")?"
    r"(?:proporcionado|adjuntado|proporcionó|adjuntó) (?:ninguna )?imagen",
    r"\b(?:извините|простите|к сожалению)\b,? |\bя не (?:могу|в состоянии|способен)\b",
    r"\bкак (?:языковая модель|искусственный интеллект|ии)\b|изображение (?:не предоставлено|"
    r"не загружено|отсутствует)",
    r"抱歉|对不起|對不起|我(?:无法|無法|不能|没办法)|作为(?:一个|一名)?(?:人工智能|AI|语言模型|ai)",
    r"(?:没有|未)(?:提供|上传|看到)(?:任何)?(?:图片|图像|照片)|无法(?:查看|描述|识别|提供|协助|"
    r"回答)",
    r"申し訳(?:ありません|ございません|ないですが)|(?:AI|ai|言語モデル)として|ことはできません|"
    r"お(?:答え|手伝い)できません|画像が(?:提供|添付|表示)され(?:て)?(?:いません|ていない)",
    r"(?:^|\s)(?:أنا )?(?:آسف|آسفة|عذرا|عذرًا|عذراً|أعتذر)|لا (?:أستطيع|يمكنني)|لست قادر|غير قادر "
    r"على",
    r"(?:بصفتي|كنموذج|باعتباري) (?:نموذج|ذكاء|لغوي|مساعد)|لم يتم (?:تقديم|توفير|إرفاق|تحميل) (?:أي "
    r")?صورة",
)
REFUSAL = re.compile("|".join(REFUSALS), re.IGNORECASE)
"""What a model says that will not, or cannot, describe."""

HEDGE = re.compile(
    r"\b(?:may|(?i:might|maybe|perhaps|possibly|probably|presumably|apparently|appears? to|"
    r"appears? as if|"
    r"seems? (?:to|like|as)|seem(?:ingly)|it seems|likely|suggest(?:s|ing)|could be|could have "
    r"been|"
    r"vielleicht|möglicherweise|wahrscheinlich|vermutlich|scheint|scheinen|scheinbar|anscheinend|"
    r"könnten?|dürften?|eventuell|offenbar|womöglich|"
    r"peut-être|probablement|sans doute|semble(?:nt)?|pourrai(?:t|ent)|éventuellement|apparemment|"
    r"quizás?|tal vez|a lo mejor|probablemente|posiblemente|parecen?|podrían?|puede que|"
    r"aparentemente|"
    r"возможно|вероятно|наверное|кажется|по-видимому|похоже|может быть|видимо|скорее всего|"
    r"пожалуй))\b"
    r"|可能|也许|或许|大概|似乎|好像|看起来像|疑似"
    r"|かもしれ|おそらく|たぶん|ようです|ように見え|らしい|思われ|でしょう|かと思"
    r"|(?:ربما|قد (?:يكون|تكون)|يبدو|تبدو|من المحتمل|على الأرجح|لعل)",
)
"""Words of doubt; `may` in small letters, so that the month of May is none."""

LEAKS = (
    r"<\|[\w/-]{1,40}\|>|</?(?:s|image|img|pad|unk|bos|eos|eot|think|start|end|system|user|"
    r"assistant|"
    r"caption|br|p|b|i|loc\d{4}|seg\d{3}|start_of_turn|end_of_turn|image_soft_token|0x[0-9A-F]{2}|"
    r"im_start|im_end)/?>",
    r"\[/?(?:INST|PAD|CLS|SEP|MASK|UNK|SYS|IMG|IMAGE|THINK)\]|<<SYS>>|\[(?:insert|your|name|object|"
    r"color|brand)\b[^\]\n]{0,40}\]",
    r"(?:^|\n)[ \t]{0,8}#{2,}\s|\*\*[^*\n]{1,60}\*\*|```|&(?:nbsp|amp|quot|lt|gt);|\\[nt]\b|\ufffd|"
    r"[ĠĊ▁]|(?:^| )##[a-z]",
    r"(?:^|\n|\s)(?:ASSISTANT|USER|Assistant|User|Human|SYSTEM|System|Question|Answer|Prompt|"
    r"Caption|CAPTION|Description|Output|Input|Response|Web text|Alt text)\s?:",
    r"\{\{?[a-z_]{1,40}\}?\}|[{\[]\s?\"[a-z_]{1,40}\"\s?[:,]",
    r"^\W{0,3}(?:(?:sure|certainly|of course|absolutely)\b[,!. ]|(?:okay|ok)\b[,!.])",
    r"^\W{0,3}(?:sure\W{1,3})?here(?: is|'s|’s| are) (?:a|an|the|your|one|"
    r"some)\b[^.\n]{0,40}\b(?:caption|"
    r"description|sentence|summary|version|rewrite|rewritten|translation|text)",
    r"^\W{0,3}(?:hier ist (?:die|eine|der)|voici (?:la|une)|aquí (?:está|tienes)|вот)\b[^.\n]{0,30}"
    r"(?:bildunterschrift|beschreibung|übersetzung|légende|description|traduction|descripción|"
    r"leyenda|traducción|описание|подпись|перевод)",
    r"^\W{0,3}(?:以下是|这是.{0,8}(?:描述|标题)：|こちらは.{0,12}(?:キャプション|説明)|إليك (?:وصف|"
    r"الوصف|تعليق))",
    r"\b(?:based on|according to) the (?:provided |given )?(?:alt|web|raw) text\b|\b(?:in|with) "
    r"(?:one|a) "
    r"(?:short )?sentence:|\bmerge both into one caption\b|\bdescribe (?:this|the) (?:image|"
    r"picture) in\b",
)
LEAK = re.compile("|".join(LEAKS), re.IGNORECASE)
"""Tokens and roles of a template, marks of a format, and words of the prompt or to the user."""

QUOTED = re.compile(r"\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|«[^»\n]{1,200}»|「[^」\n]{1,200}」")
"""What a caption cites, such as a sign in the picture, is no sign of anything."""

CUT_END = re.compile(r"(?:\.\.\.|…|[,;:、，；：\-–—(\[{/&+（「])\s*$")
FULL_STOP = (
    ".",
    "!",
    "?",
    "。",
    "！",
    "？",
    "؟",
    "…",
    ")",
    "]",
    '"',
    "'",
    "”",
    "’",
    "»",
    "」",
    "）",
)
OPEN_ENDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "a an the and or of with in at to from for is are its their his her that which while "
        "as into near behind under beside between against some two three several very",
        "de": "der die das den dem des ein eine einen einem einer eines und oder mit von in im am "
        "zum zur bei für über unter neben hinter ist sind sehr einige zwei drei",
        "fr": "le la les un une des du de d' l' et ou avec dans sur à au aux en pour par sous est "
        "sont qui que très quelques deux trois",
        "es": "el la los las un una unos unas de del y o con en sobre a al para por bajo es son "
        "que "
        "su sus muy dos tres",
        "ru": "и или с со в во на у к по из от для над под за что который очень два три",
        "ar": "و في من على مع إلى أو التي الذي بين تحت",
    }.items()
}
"""Words with which no sentence ends."""
OPEN_TAILS = {
    "zh": ("和", "与", "在", "并", "一个", "以及", "位于", "是一"),
    "ja": ("と", "に", "を", "が", "は", "の", "や"),
}


def refuses(text: str) -> bool:
    """Whether a text says that it will not or cannot describe."""
    return REFUSAL.search(QUOTED.sub(" ", text)) is not None


def hedges(text: str) -> int:
    """How many words of doubt a text has."""
    return len(HEDGE.findall(QUOTED.sub(" ", text)))


def leaks(text: str) -> str | None:
    """The first piece of a template, a format or a prompt that stands in a text."""
    found = LEAK.search(text)
    return found.group().strip() if found else None


def is_cut(text: str, language: str | None) -> bool:
    """Whether a text breaks off: at a mark that promises more, or at a word that ends no sentence
    of its language.
    """
    text = text.rstrip()
    if CUT_END.search(text[-8:]):
        return True
    if not text or text.endswith(FULL_STOP):
        return False
    if tails := OPEN_TAILS.get(language or ""):
        return text.endswith(tails)
    return text.rsplit(None, 1)[-1].casefold() in OPEN_ENDS.get(language or "en", frozenset())
