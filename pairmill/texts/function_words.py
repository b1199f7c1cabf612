"""Words without which hardly a sentence is made, of languages in Latin letters."""

WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the a an of and in on at to with for from by is are was were be been has have had "
        "it its this that these those there their his her he she they you your we our as or but "
        "not no who which what when where how into over under near behind between through while "
        "some do does will can i my me if so than out up about after before",
        "de": "der die das den dem des ein eine einen einem einer eines und oder aber auf in im an "
        "am mit von vom zu zum zur für bei beim aus nach vor über unter neben zwischen hinter "
        "durch ist sind war waren wird werden hat haben es er sie wir ich du ihr nicht kein keine "
        "als wie so um dass sich auch noch nur was wer wo man",
        "fr": "le la les l un une des du de d et ou mais à au aux en dans sur sous avec pour par "
        "sans chez est sont était a ont il elle ils elles on nous vous je tu ce cet cette ces son "
        "sa ses leur que qui où ne pas plus se y entre devant derrière as si me",
        "es": "el la los las un una unos unas de del y e o u pero en a al con por para sin sobre "
        "entre es son está están era hay ha su sus se que quien no lo le les como más este esta "
        "estos estas ese esa desde hasta muy me te si yo he",
        "it": "il lo la i gli le un uno una di del dello della dei degli delle e ed o ma in nel "
        "nella nei nelle a al alla ai alle da dal dalla con su sul sulla per tra fra è sono era "
        "ha hanno che chi non si come questo questa suo sua me so no",
        "pt": "o a os as um uma uns umas de do da dos das e ou mas em no na nos nas ao à com por "
        "pelo pela para sem sobre entre é são está estão era há seu sua se que não como mais este "
        "esta esse essa até muito me",
        "nl": "de het een en of maar in op aan met van voor uit naar bij door over onder tussen "
        "achter naast is zijn was waren wordt heeft hebben er hij ze zij we ik je u niet geen die "
        "dat deze dit te tot om als ook nog had me so hun haar",
        "sv": "en ett den det de och eller men i på av till från med för vid under över mellan är "
        "var har hade som inte han hon vi jag du sig sin om att så man",
        "da": "en et den det de og eller men i på af til fra med for ved under over mellem er var "
        "har havde som ikke han hun vi jeg du sig sin om at så man",
        "no": "en et ei den det de og eller men i på av til fra med for ved under over mellom er "
        "var har hadde som ikke han hun vi jeg du seg sin om at så man",
        "pl": "i w we z ze na do od po dla przez pod nad przy o u a ale lub oraz jest są był była "
        "było się nie to ten ta te tego tej który która które jak za jego jej przed",
        "cs": "a v ve s se na do od po pro přes pod nad při o u i ale nebo je jsou byl byla bylo "
        "si ne to ten ta tento který která které jak za z ze k jeho před by",
        "ro": "un o unei unui și sau dar în la pe de din cu pentru prin sub peste între este sunt "
        "era are au se nu că care ce mai al a ale lui ei cel cea",
        "tr": "bir ve ile bu şu o için gibi da de ki mi çok daha var olan olarak üzerinde içinde "
        "ya veya ama her en ne",
        "id": "yang dan di ke dari untuk dengan pada ini itu adalah dalam oleh atau tidak ada "
        "sebuah seorang akan juga para atas bawah",
        "vi": "là và của một những các trong trên với cho có không được này đó người ở từ để khi "
        "dưới đang về",
        "fi": "ja on ei se ne että joka mutta tai kun niin myös ovat oli hän he sekä kanssa alla "
        "päällä",
        "hu": "a az egy és vagy de nem van volt hogy is ez azt meg mint egyik alatt mellett között "
        "ki be el",
    }.items()
}  # fmt: skip
