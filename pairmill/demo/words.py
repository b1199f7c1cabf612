"""The words of the demo world in eight languages: things, colours, places, and sentences that hold
them.

Sentences avoid agreement of gender and case ("ballon de couleur rouge"), so every one of them is
grammatical.
"""

KINDS = (
    "ball",
    "box",
    "star",
    "heart",
    "tree",
    "house",
    "car",
    "boat",
    "fish",
    "cup",
    "flower",
    "mushroom",
    "umbrella",
    "key",
    "moon",
    "crown",
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
PLACES = ("meadow", "beach", "sky", "night", "snow", "room")
LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "ja", "ar")
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}

EN_PLACES = dict(
    zip(
        PLACES,
        ("in a meadow", "on a beach", "in the sky", "at night", "in the snow", "in a room"),
        strict=True,
    )
)
PLURALS = dict(
    zip(
        KINDS,
        (
            "balls",
            "boxes",
            "stars",
            "hearts",
            "trees",
            "houses",
            "cars",
            "boats",
            "fish",
            "cups",
            "flowers",
            "mushrooms",
            "umbrellas",
            "keys",
            "moons",
            "crowns",
        ),
        strict=True,
    )
)

# language -> kind -> (one, several); Russian "several" is the genitive singular that follows 2, 3
# and 4.
NOUNS = {
    "de": "Ball/Bälle Kiste/Kisten Stern/Sterne Herz/Herzen Baum/Bäume Haus/Häuser Auto/Autos "
    "Boot/Boote "
    "Fisch/Fische Tasse/Tassen Blume/Blumen Pilz/Pilze Regenschirm/Regenschirme "
    "Schlüssel/Schlüssel "
    "Mond/Monde Krone/Kronen",
    "fr": "ballon/ballons boîte/boîtes étoile/étoiles cœur/cœurs arbre/arbres maison/maisons "
    "voiture/voitures "
    "bateau/bateaux poisson/poissons tasse/tasses fleur/fleurs champignon/champignons "
    "parapluie/parapluies "
    "clé/clés lune/lunes couronne/couronnes",
    "es": "pelota/pelotas caja/cajas estrella/estrellas corazón/corazones árbol/árboles casa/casas "
    "coche/coches "
    "barco/barcos pez/peces taza/tazas flor/flores seta/setas paraguas/paraguas llave/llaves "
    "luna/lunas corona/coronas",
    "ru": "мяч/мяча коробка/коробки звезда/звезды сердце/сердца дерево/дерева дом/дома "
    "машина/машины лодка/лодки рыба/рыбы чашка/чашки цветок/цветка гриб/гриба зонт/зонта "
    "ключ/ключа луна/луны корона/короны",
    "zh": "球/球 盒子/盒子 星星/星星 爱心/爱心 树/树 房子/房子 汽车/汽车 小船/小船 鱼/鱼 杯子/杯子 "
    "花朵/花朵 蘑菇/蘑菇 雨伞/雨伞 钥匙/钥匙 月亮/月亮 皇冠/皇冠",
    "ja": "ボール/ボール 箱/箱 星/星 ハート/ハート 木/木 家/家 車/車 ボート/ボート 魚/魚 "
    "カップ/カップ 花/花 きのこ/きのこ 傘/傘 鍵/鍵 月/月 王冠/王冠",
    "ar": "كرة/كرات صندوق/صناديق نجمة/نجوم قلب/قلوب شجرة/أشجار منزل/منازل سيارة/سيارات "
    "قارب/قوارب سمكة/أسماك كوب/أكواب "
    "زهرة/أزهار فطر/فطر مظلة/مظلات مفتاح/مفاتيح قمر/أقمار تاج/تيجان",
}
COLOUR_WORDS = {
    "de": "Rot Orange Gelb Grün Blau Violett Rosa Braun Schwarz Weiß",
    "fr": "rouge orange jaune verte bleue violette rose marron noire blanche",
    "es": "rojo naranja amarillo verde azul morado rosa marrón negro blanco",
    "ru": (
        "красного оранжевого жёлтого зелёного синего фиолетового розового коричневого "
        "чёрного белого"
    ),
    "zh": "红色 橙色 黄色 绿色 蓝色 紫色 粉色 棕色 黑色 白色",
    "ja": "赤色 オレンジ色 黄色 緑色 青色 紫色 ピンク色 茶色 黒色 白色",
    "ar": "الأحمر البرتقالي الأصفر الأخضر الأزرق البنفسجي الوردي البني الأسود الأبيض",
}
PLACE_WORDS = {
    "de": "auf einer Wiese|am Strand|am Himmel|in der Nacht|im Schnee|in einem Zimmer",
    "fr": "dans un pré|sur la plage|dans le ciel|pendant la nuit|dans la neige|dans une chambre",
    "es": "en un prado|en la playa|en el cielo|durante la noche|en la nieve|en una habitación",
    "ru": "на лугу|на пляже|в небе|ночью|на снегу|в комнате",
    "zh": "在草地上|在海滩上|在天空中|在夜晚|在雪地里|在房间里",
    "ja": "草原に|浜辺に|空に|夜に|雪の中に|部屋の中に",
    "ar": "في المرج|على الشاطئ|في السماء|في الليل|في الثلج|في الغرفة",
}
# {n}: number, {k}: noun, {c}: colour.  First for one thing, second for several.
GROUP_PATTERNS = {
    "de": ("{k} in der Farbe {c}", "{n} {k} in der Farbe {c}"),
    "fr": ("{k} de couleur {c}", "{n} {k} de couleur {c}"),
    "es": ("{k} de color {c}", "{n} {k} de color {c}"),
    "ru": ("{k} {c} цвета", "{n} {k} {c} цвета"),
    "zh": ("一个{c}的{k}", "{n}个{c}的{k}"),
    "ja": ("{c}の{k}", "{n}つの{c}の{k}"),
    "ar": ("{k} باللون {c}", "{n} {k} باللون {c}"),
}
NUMBER_WORDS = {
    "de": ("", "zwei", "drei", "vier"),
    "fr": ("", "deux", "trois", "quatre"),
    "es": ("", "dos", "tres", "cuatro"),
    "ru": ("", "два", "три", "четыре"),
    "zh": ("", "两", "三", "四"),
    "ja": ("", "二", "三", "四"),
    "ar": ("", "2", "3", "4"),
}
AND = {
    "en": " and ",
    "de": " und ",
    "fr": " et ",
    "es": " y ",
    "ru": " и ",
    "zh": "和",
    "ja": "と",
    "ar": " و",
}
# {g}: a thing, {s}: where it is, of SIDES.
SIDED = {"zh": "{s}{g}", "ja": "{s}{g}"}
SIDES = {
    "en": "on the left|on the right|on top|below",
    "de": "links|rechts|oben|unten",
    "fr": "à gauche|à droite|en haut|en bas",
    "es": "a la izquierda|a la derecha|arriba|abajo",
    "ru": "слева|справа|сверху|снизу",
    "zh": "左边|右边|上面|下面",
    "ja": "左の|右の|上の|下の",
    "ar": "على اليسار|على اليمين|في الأعلى|في الأسفل",
}
"""Where the first and the second thing are, beside and above each other."""
# {g}: the things, {p}: the place.
SENTENCES = {
    "en": (
        "{g} {p}",
        "a photo of {g} {p}",
        "picture of {g}, taken {p}",
        "{g} {p}, nice image for your website",
        "this is what we saw: {g} {p}",
        "here you can see {g} {p}",
    ),
    "de": (
        "Das Bild zeigt {g} {p}",
        "Ein schönes Foto von {g} {p}",
        "Hier sieht man {g} {p}",
        "Wir haben {g} {p} gesehen",
        "Auf diesem Bild ist {g} {p} zu sehen",
    ),
    "fr": (
        "Une photo de {g} {p}",
        "Voici une image avec {g} {p}",
        "On peut voir {g} {p} sur cette photo",
        "Nous avons vu {g} {p}",
        "Cette image montre {g} {p}",
    ),
    "es": (
        "Una foto de {g} {p}",
        "Aquí se puede ver {g} {p}",
        "Esta imagen muestra {g} {p}",
        "Hemos visto {g} {p}",
        "En esta fotografía aparece {g} {p}",
    ),
    "ru": (
        "На фотографии {g} {p}",
        "Здесь можно увидеть: {g} {p}",
        "На этой картинке изображено: {g} {p}",
        "Мы видели, что там {g} {p}",
        "Красивое фото: {g} {p}",
    ),
    "zh": (
        "这张照片里有{g}，{p}",
        "{p}可以看到{g}",
        "图片中是{g}，{p}拍摄",
        "我们{p}看见了{g}",
        "{p}的{g}，高清图片",
    ),
    "ja": (
        "{p}{g}があります",
        "この写真には{p}{g}が写っています",
        "{p}{g}が見える画像です",
        "{p}ある{g}の写真",
        "ここでは{p}{g}を見ることができます",
    ),
    "ar": (
        "صورة تظهر {g} {p}",
        "هذه صورة جميلة من {g} {p}",
        "يمكنك أن ترى هنا {g} {p}",
        "لقد شاهدنا {g} {p}",
        "في هذه الصورة {g} {p}",
    ),
}

SYLLABLES = (
    "ka",
    "lo",
    "ri",
    "ven",
    "dor",
    "mi",
    "sa",
    "tu",
    "bel",
    "fin",
    "gra",
    "hol",
    "jun",
    "ne",
    "pol",
    "qui",
    "rem",
    "sto",
    "wil",
    "zan",
)
BOILERPLATE = (
    "IMG_{n:04d}.jpg",
    "DSC{n:05d}",
    "click to enlarge",
    "image not available",
    "thumbnail {n}",
    "Untitled-{n}",
    "photo",
    "Loading...",
    "share on social media",
    "default image",
)
SPAM = (
    "BUY NOW!!! BEST PRICE {n}% OFF http://deals.example/{n} FREE SHIPPING!!!",
    "cheap cheap cheap cheap cheap cheap online online online {n}",
    ">>> CLICK HERE www.win-{n}.example <<< $$$ {n} WINNERS $$$",
)
