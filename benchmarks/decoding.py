"""Which encoding the advice names: right, none or wrong, for texts in many encodings.

A text is read whole, cut within a character, and with one byte replaced. An answer is right where
decoding with it gives the same characters, as cp1252 does for Latin-1; damaged bytes aside.
"""

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from charlm.text.guessing import recognize

STATES = ("whole", "cut", "damaged")
ANSWERS = ("right", "none", "wrong")
WESTERN = ("cp1252", "latin-1", "iso-8859-15")
CENTRAL = ("cp1250", "iso-8859-2")
CYRILLIC = ("cp1251", "koi8-r", "iso-8859-5", "cp866", "mac-cyrillic")
DOUBLE = ("cp949", "euc-kr", "shift_jis", "euc-jp", "gb18030", "big5")
# For all languages; UTF-16 without a mark, UTF-8 only where it is cut or damaged.
UNICODE = ("utf-8", "utf-16-le", "utf-16-be")
ENCODINGS = {
    "German": WESTERN, "French": WESTERN, "Spanish": WESTERN, "English": ("cp1252",),
    "Portuguese": WESTERN, "Swedish": WESTERN, "Icelandic": WESTERN, "Italian": WESTERN,
    "Polish": CENTRAL, "Czech": CENTRAL, "Hungarian": CENTRAL, "Romanian": CENTRAL,
    "Turkish": ("cp1254", "iso-8859-9"),
    "Russian": CYRILLIC, "Ukrainian": ("cp1251",),
    "Greek": ("cp1253", "iso-8859-7"), "Hebrew": ("cp1255", "iso-8859-8"), "Arabic": ("cp1256",),
    "Korean": ("cp949", "euc-kr"), "Japanese": ("shift_jis", "euc-jp"),
    "Simplified Chinese": ("gb18030",), "Traditional Chinese": ("big5",),
    "Vietnamese": ("cp1258",), "Lithuanian": ("cp1257",),
}  # fmt: skip
LENGTHS = (50, 200, 1_000, 10_000)
TEXTS = {
    "German": "Als der Müller am frühen Morgen die Tür öffnete, lag über dem Fluß ein weißer Nebel. "
    "Niemand wußte, woher die Körbe gekommen waren, die nun am Ufer standen. „Wir müssen die Männer "
    "wecken“, sagte seine Tochter, „sonst trägt das Hochwasser alles fort.“ Er nickte, zog die Stiefel "
    "an und ging über die schmale Brücke zum Dorf hinüber. Hinter den Gärten bellten zwei Hunde, und "
    "aus dem Bäckerhaus roch es nach Brot. Später, als die Sonne höher stieg, zählten sie achtzehn "
    "Körbe, dazu ein Fäßchen Öl und einen Sack voller Nüsse. Keiner hat je erfahren, wem sie gehörten. "
    "Im Winter erzählte man sich davon am Ofen, jedes Mal ein wenig größer und schöner als zuvor. ",
    "French": "Le matin où la rivière déborda, le facteur était déjà passé. Il avait laissé près de "
    "l’étable une lettre sans adresse, écrite à l’encre violette. « Ça ne peut pas être pour nous », "
    "dit la grand-mère, mais elle l’ouvrit malgré tout. C’était l’écriture d’un élève appliqué : il "
    "demandait où l’on avait caché la clé du clocher. Personne ne répondit. Plus tard, les garçons "
    "montèrent là-haut, curieux et un peu inquiets, et trouvèrent sous une poutre le trousseau mangé "
    "de rouille. Le curé hocha la tête : voilà vingt ans qu’il le cherchait. On sonna les cloches "
    "jusqu’au soir, et le vieux bedeau, très ému, promit une fête à tous les enfants de la vallée. ",
    "Spanish": "La mañana en que llegó el circo, el pequeño Andrés todavía dormía. Su tía abrió la "
    "ventana y gritó: ¡Mira, un camello en la plaza! Él no quiso creerlo. ¿Cómo iba a haber camellos "
    "aquí, tan lejos del desierto? Después oyó los tambores y el acordeón, y bajó corriendo sin los "
    "zapatos. Había también un león viejo que bostezaba, dos niñas con sombrillas y un señor de bigote "
    "que vendía números para la rifa. Mi corazón latía con fuerza, contó años más tarde, cuando ya era "
    "médico en la ciudad. Nadie ganó la rifa, según dicen; el premio era un jamón, y se lo comió el "
    "león la última noche. Así terminó aquel otoño, con música, polvo y canción. ",
    "English": "“I never asked for the lamp,” said Mrs. Harrow, “and I won’t pay for it.” The boy "
    "looked at his boots. It wasn’t his lamp either – he’d found it behind the mill, wrapped in a "
    "sack – but nobody in the village would’ve believed him. “Then I’ll take it back,” he said, and "
    "he did. That night the miller’s daughter saw a light moving along the weir. She didn’t call out; "
    "she’d learned not to. By morning the lamp stood on her own step, lit, without a drop of oil… "
    "“Well,” she said, “if it’s stubborn, so am I.” She hung it over the door, and there it’s been "
    "ever since – in rain, in frost, through both of the great floods. ",
    "Portuguese": "Na manhã da feira, o avô não encontrou as suas chaves. Procurou atrás do fogão, "
    "debaixo da cômoda e até no galinheiro, mas só achou um botão e três moedas. Você as deixou na "
    "estação, disse a irmã, que nunca se enganava. Então ele pôs o chapéu, desceu a ladeira e "
    "perguntou ao chefe, homem de poucas palavras. Não havia chave nenhuma, mas havia uma mala sem "
    "dono, com lençóis, um violão e uma fotografia. O avô reconheceu a praça: era a da sua infância, "
    "com o chafariz e as árvores já altas. Ninguém soube explicar como a mala chegou ali. À noite, "
    "depois do jantar, ele tocou uma canção que ninguém mais conhecia, e todos ouviram em silêncio. ",
    "Swedish": "När våren äntligen kom låg båten ännu kvar på ön. Farfar gick ner till bryggan varje "
    "kväll och såg på himlen. Det blåser för hårt, sade han, vi får vänta. Så gick två veckor. Barnen "
    "räknade ägg, spelade kort och lärde sig knyta knopar som ingen längre använder. På den femtonde "
    "dagen blev det stilla, så stilla att man hörde kyrkklockan från andra sidan sundet. Då sköt de ut "
    "båten, rodde långsamt över det gröna vattnet och sjöng hela vägen hem. Mormor stod på stranden "
    "med kaffe och bröd. Hon hade aldrig varit orolig, påstod hon, men hennes händer skakade, och "
    "hunden ville inte släppa dem ur sikte på hela sommaren. ",
    "Icelandic": "Það var snemma morguns þegar gamli maðurinn gekk niður að sjónum. Hann hafði ekki "
    "sofið þá nótt, því að vindurinn barði þakið og hundurinn gelti í sífellu. Báturinn var horfinn. "
    "Í fjörunni lá aðeins ár og blautur vettlingur. Hver á þetta, spurði hann, en enginn svaraði, því "
    "enginn var þar. Um hádegið kom dóttir hans með mjólk og brauð. Hún þekkti vettlinginn strax; hún "
    "hafði prjónað hann sjálf fyrir mörgum árum handa bróður sínum. Þau biðu saman fram á kvöld. Þegar "
    "tunglið kom upp sáu þau segl úti á firðinum, og gamli maðurinn byrjaði að syngja lágt. ",
    "Italian": "La città si svegliò più tardi del solito, perché le campane non suonarono. Il sagrestano "
    "era partito, si disse, e non sarebbe tornato prima di lunedì. Così il fornaio aprì bottega alle "
    "nove, il medico trovò la porta chiusa e la maestra aspettò invano i suoi ragazzi. Verso "
    "mezzogiorno qualcuno salì sul campanile: là, accanto alla scala, c'era soltanto un gatto, e "
    "dormiva. Però la corda mancava. Chi poteva averla presa, e perché? Nessuno lo capì mai. La "
    "domenica seguente il sindaco ne comprò una nuova, più robusta, e da allora le campane suonano "
    "con un po' di ritardo, come se volessero dormire ancora anch'esse. È una vecchia libertà. ",
    "Polish": "Gdy stary zegarmistrz wrócił do miasteczka, nikt go już nie poznał. Szedł powoli, "
    "wsparty na lasce, i przyglądał się każdej wystawie. „Tu była moja pracownia”, rzekł do chłopca, "
    "który sprzedawał gazety. Chłopiec wzruszył ramionami: wszędzie są teraz sklepy z butami. Wtedy "
    "staruszek wyjął z kieszeni złoty kluczyk, podszedł do wieży i nakręcił zegar, który milczał od "
    "trzydziestu lat. Ludzie wyszli na ulicę i słuchali. Później mówiono, że to zły znak, że będzie "
    "wojna albo powódź, lecz nic się nie wydarzyło. Tylko gołębie, spłoszone dźwiękiem, odleciały "
    "za rzekę i już nigdy nie wróciły. Jeszcze dziś można usłyszeć, jak bije północ. ",
    "Czech": "Když přišla zima, řeka zamrzla dřív než jindy. Děti běhaly po ledě až k mlýnu a zpátky, "
    "a starý převozník jen kroutil hlavou. Říkával, že led má paměť a že nikomu nic neodpustí. Jednoho "
    "večera našel na břehu měděný zvonek se jménem, které nedokázal přečíst. Pověsil ho nad dveře své "
    "chalupy. Od té doby zvonil sám od sebe, vždycky když se blížilo něco zvláštního: svatba, požár "
    "nebo cizí návštěva. Lidé si na něj zvykli. Teprve po letech se ukázalo, že zvonek patřil lodi, "
    "která se kdysi potopila daleko po proudu; převozník ho tedy vrátil řece. Šťastně se usmíval. ",
    "Hungarian": "Amikor a vándor megérkezett a faluba, már sötét volt, és sűrűn esett az eső. A "
    "kocsmáros ajtót nyitott, leültette a tűz mellé, és forró levest adott neki. Honnan jöttél, "
    "kérdezte, de a vándor csak a fejét rázta. Később elővett egy kis dobozt, és az asztalra tette. "
    "Ebben az idő van, mondta, amit elvesztettetek. Senki sem merte kinyitni. Éjfélkor az öreg "
    "harangozó mégis fölemelte a fedelét: üres volt, vagy legalábbis annak tűnt. Másnap reggelre a "
    "vándor eltűnt, a gyerekek pedig azt állították, hogy hosszabb lett a nap, és több idő jut a "
    "játékra. A felnőttek nevettek rajtuk, ám ők is érezték, hogy lassabban járnak az órák. ",
    "Romanian": "Când a sosit trenul în gară, pe peron nu mai aştepta nimeni. Bătrânul învăţător a "
    "coborât încet, cu o valiză legată cu sfoară, şi s-a uitat în jur. Odată, îşi spunea, aici cânta "
    "fanfara şi copiii alergau după vagoane. Acum creştea iarba între şine. A mers pe jos până în sat, "
    "a găsit casa cu poarta verde şi a bătut de trei ori. I-a deschis o fetiţă care semăna cu cineva "
    "de demult. Mama nu e acasă, a zis ea, dar puteţi aştepta înăuntru, lângă sobă. El a rămas toată "
    "seara şi i-a povestit despre munţi, despre ţări îndepărtate şi despre şcoala de altădată. ",
    "Turkish": "Yaşlı balıkçı o sabah denize çıkmadı. Rüzgâr değişmişti, bulutlar alçaktan geçiyordu "
    "ve martılar kıyıya dönmüştü. Torunu kapının önünde oturmuş, eski ağları onarıyordu. Bugün gitmeyecek "
    "miyiz, diye sordu. Adam başını salladı: Deniz bugün kimseyi istemiyor. Öğleden sonra fırtına koptu, "
    "dalgalar iskeleyi parçaladı, ışıklar söndü. Köylüler bir mum yakıp beklediler. Gece yarısı küçük bir "
    "teknenin ışığı göründü; içinde üç yabancı vardı, üçü de sırılsıklam ve suskundu. Balıkçı onlara "
    "çorba verdi, hiçbir şey sormadı. Sabah olunca gitmişlerdi, ama masanın üstünde gümüş bir düğme "
    "bırakmışlardı. İhtiyar onu hâlâ cebinde taşır. ",
    "Russian": "Когда старый паромщик проснулся, река уже вышла из берегов. Вода стояла у самого крыльца, "
    "и по ней медленно плыли доски, чья-то шляпа и пустая лодка. Он надел сапоги, взял фонарь и пошёл "
    "будить соседей. «Опять весна пришла раньше времени», — сказала учительница, собирая книги в корзину. "
    "Никто не спорил. К полудню все жители сидели на холме, пили чай из одного самовара и смотрели, как "
    "исчезают под водой их огороды. Дети смеялись. Через три дня вода ушла, и на площади нашли большой "
    "ящик с яблоками, ещё свежими, будто их только что сняли с дерева. Чьи они были, осталось тайной. ",
    "Ukrainian": "Того ранку над річкою стояв густий туман, і мельник не одразу помітив чужий човен. У "
    "ньому лежали дві весла, мокра свита і клітка з маленьким птахом. Його донька взяла клітку до хати, "
    "налила води та насипала зерна. Пташка мовчала цілий тиждень, а потім заспівала так голосно, що "
    "прибігли сусіди. Ніхто ніколи не чув такої пісні. Старий коваль запевняв, що то мелодія з його "
    "дитинства, з далекого села за горами. Хтось їй підспівував, хтось плакав. Восени пташку випустили, "
    "і вона полетіла на південь, але щороку, коли тане сніг, повертається до їхнього млина. ",
    "Greek": "Το πρωί που έφυγε το καράβι, ο γέρος καθόταν μόνος στο μουράγιο. Κρατούσε ένα γράμμα που "
    "δεν το είχε ανοίξει ποτέ. Γιατί δεν το διαβάζεις, τον ρώτησε το παιδί του καφετζή. Επειδή ξέρω τι "
    "λέει, απάντησε εκείνος. Η θάλασσα ήταν ήσυχη και οι ψαράδες άπλωναν τα δίχτυα τους στον ήλιο. Το "
    "μεσημέρι ήρθε η κόρη του με ψωμί, ελιές και λίγο κρασί. Κάθισαν μαζί κάτω από τη μουριά. Τότε "
    "άνοιξε επιτέλους τον φάκελο· μέσα υπήρχε μόνο ένα ξερό φύλλο και μια φωτογραφία. Γέλασε δυνατά, "
    "σαν να είχε γίνει πάλι νέος, και τη φύλαξε στην τσέπη του. Ύστερα πήγαν στο σπίτι. ",
    "Hebrew": "בבוקר שבו נסגר הדואר הישן, עמד השען בפתח החנות והביט ברחוב. איש לא עבר שם מלבד כלב אחד "
    "ואישה עם סל. היא שאלה אותו מה השעה, והוא ענה שאינו יודע, כי כל השעונים נעצרו בלילה. כולם, שאלה, "
    "אפילו הגדול שבמגדל? גם הוא. היא צחקה והמשיכה בדרכה אל השוק. בצהריים התאספו השכנים, וכל אחד הביא "
    "את שעונו. השען פתח אותם בזה אחר זה ולא מצא שום תקלה. רק בערב, כשהילדים חזרו מן הים, התחיל הכול "
    "לתקתק שוב, כאילו לא קרה דבר. מאז אומרים אצלנו שהזמן יצא ליום אחד לטייל, ושמותר גם לו. ",
    "Arabic": "في صباح ذلك اليوم وصل التاجر إلى القرية ومعه ثلاثة جمال وصندوق كبير. جلس تحت الشجرة "
    "القديمة وطلب ماء باردا، ثم سأل عن بيت المعلم. قال له الأطفال إن المعلم سافر منذ سنة ولم يعد. صمت "
    "الرجل قليلا وفتح الصندوق، فإذا هو مملوء بالكتب والأوراق. هذه له، قال، فقد أعطاني ثمنها قبل أن "
    "يرحل. حمل أهل القرية الكتب إلى المدرسة، وصار كل واحد منهم يقرأ ما يشاء في المساء. وبعد زمن طويل "
    "عاد المعلم شيخا، فوجد الناس يحكون له قصصا لم يسمع بها من قبل، فضحك حتى بكى. ",
    "Korean": "그날 아침 강가에는 안개가 짙게 끼어 있었다. 늙은 뱃사공은 밧줄을 풀다가 물 위에 떠 있는 작은 상자를 "
    "보았다. 누가 잃어버린 것일까, 그는 혼자 중얼거리며 상자를 건져 올렸다. 뚜껑을 열자 마른 꽃잎과 편지 한 장이 "
    "들어 있었다. 글씨는 흐려져서 읽을 수 없었지만 마지막 줄에는 그의 이름이 적혀 있었다. 그는 한참 동안 하늘을 "
    "바라보다가 집으로 돌아가 아내에게 이야기했다. 아내는 웃으며 말했다. 당신이 젊었을 때 강물에 띄운 것이잖아요. "
    "그제야 그는 오래전 봄날을 떠올렸고, 두 사람은 밤늦도록 차를 마시며 옛날 일을 하나씩 헤아렸다. ",
    "Japanese": "その朝、川には深い霧がかかっていた。年老いた渡し守は、いつものように舟の綱を解こうとして、"
    "水の上に小さな箱が浮かんでいるのを見つけた。だれが落としたのだろう、と彼はつぶやき、それを拾い上げた。"
    "ふたを開けると、乾いた花びらと一通の手紙が入っていた。字はにじんで読めなかったが、最後の行には自分の名前が"
    "書いてあった。彼は長いあいだ空を見上げ、それから家へ帰って妻に話した。あなたが若いころに流したものでしょう、"
    "と妻は笑った。彼はようやく遠い春の日を思い出し、二人は夜おそくまでお茶を飲みながら昔のことを語りあった。",
    "Simplified Chinese": "那天早上，河面上有很大的雾。老船夫正要解开绳子，忽然看见水上漂着一个小箱子。这是谁丢的呢，"
    "他自言自语，把它捞了起来。箱子里有几片干了的花瓣，还有一封信。信上的字已经看不清楚了，可是最后一行写着他自己的"
    "名字。他抬头看了很久的天，然后回家告诉了妻子。她笑着说，这不是你年轻的时候放到河里去的吗？他这才想起很多年以前"
    "的那个春天。两个人坐在灯下喝茶，说着过去的事情，一直说到半夜。第二天他又把箱子放回水里，让它跟着河流走到没有人"
    "知道的地方去。",
    "Traditional Chinese": "那天早上，河面上有很大的霧。老船夫正要解開繩子，忽然看見水上漂著一個小箱子。這是誰丟的呢，"
    "他自言自語，把它撈了起來。箱子裡有幾片乾了的花瓣，還有一封信。信上的字已經看不清楚了，可是最後一行寫著他自己的"
    "名字。他抬頭看了很久的天，然後回家告訴了妻子。她笑著說，這不是你年輕的時候放到河裡去的嗎？他這才想起很多年以前"
    "的那個春天。兩個人坐在燈下喝茶，說著過去的事情，一直說到半夜。第二天他又把箱子放回水裡，讓它跟著河流走到沒有人"
    "知道的地方去。",
    "Vietnamese": "Sáng hôm ấy sương mù phủ kín dòng sông. Ông lái đò già đang cởi dây thì thấy một chiếc "
    "hộp nhỏ trôi trên mặt nước. Ai đã đánh rơi nó, ông lẩm bẩm rồi vớt lên. Trong hộp có vài cánh hoa khô "
    "và một bức thư. Chữ đã nhòe, không đọc được nữa, nhưng ở dòng cuối cùng có tên của ông. ",
    "Lithuanian": "Tą rytą virš upės kabojo tirštas rūkas. Senas keltininkas jau rišo virvę, kai pamatė "
    "plaukiančią mažą dėžutę. Kas ją pametė, sumurmėjo jis ir ištraukė ją iš vandens. Viduje gulėjo "
    "sudžiūvę žiedlapiai ir laiškas. Raidės buvo išblukusios, bet paskutinėje eilutėje jis perskaitė "
    "savo vardą. Žmona juokėsi: tu pats jį kadaise paleidai pasroviui, kai dar buvai jaunas. ",
}  # fmt: skip


def excerpts(language: str, length: int, count: int) -> Iterator[str]:
    """Yield texts of about so many characters, of the language's sentences in random order."""
    drawn = random.Random(f"{language}{length}")
    end = "。" if language in ("Japanese", "Simplified Chinese", "Traditional Chinese") else ". "
    sentences = [part + end for part in TEXTS[language].split(end) if part.strip()]
    for _ in range(count):
        text = ""
        while len(text) < length:
            text += "".join(drawn.sample(sentences, len(sentences)))
        begin = drawn.randrange(len(text) - length + 1)
        yield text[begin : begin + length]


def encode(text: str, encoding: str) -> bytes:
    """Return a text's bytes in an encoding, without the punctuation that it lacks."""
    if encoding == "cp1258":
        # It has letters of Vietnamese, and their tones as marks.
        text = "".join(
            c if c.encode(encoding, "ignore") else unicodedata.normalize("NFD", c) for c in text
        )
    with suppress(UnicodeEncodeError):
        return text.encode(encoding)
    plain = {ord("\u2019"): "'", ord("\u2013"): "-", ord("\u2014"): "-", ord("\u2026"): "..."}
    quotes = dict.fromkeys(map(ord, "\u201c\u201d\u201e"), '"')
    return text.translate(plain | quotes).encode(encoding, "ignore")


def is_valid(content: bytes, encoding: str) -> bool:
    """Return whether bytes can be decoded to their end."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def cases(count: int) -> Iterator[tuple[str, str, int, str, bytes, bytes]]:
    """Yield language, encoding, length, state, bytes, and those that an answer has to decode."""
    for language, encodings in ENCODINGS.items():
        for encoding in (*encodings, *UNICODE):
            for length in LENGTHS:
                for text in excerpts(language, length, max(1, min(count, count * 1000 // length))):
                    content = encode(text, encoding)
                    yield language, encoding, length, "whole", content, content
                    for end in range(len(content) - 1, max(0, len(content) - 4), -1):
                        if not is_valid(content[:end], encoding):
                            cut = content[:end]
                            yield language, encoding, length, "cut", cut, cut
                            break
                    drawn = random.Random(f"{language}{encoding}{text}")
                    at = drawn.randrange(len(content))
                    new = bytes([drawn.randrange(0x80, 0x100)])
                    # The replaced byte may be the only one that tells two encodings apart.
                    rest = content[:at] + content[at + 1 :]
                    known = content if encoding in (*DOUBLE, *UNICODE) else rest
                    damaged = content[:at] + new + content[at + 1 :]
                    yield language, encoding, length, "damaged", damaged, known


def judge(answer: str | None, encoding: str, known: bytes) -> str:
    """Return whether an answer is right, none or wrong."""
    if answer is None:
        return "none"
    same = known.decode(answer, "replace") == known.decode(encoding, "replace")
    return "right" if same else "wrong"


def run(count: int, guess: Callable[[bytes], str | None] = recognize) -> dict:
    """Ask for the encoding of texts that are not UTF-8, and print a table."""
    table: Counter[tuple] = Counter()
    wrong = []
    for language, encoding, length, state, content, known in cases(count):
        if not is_valid(content, "utf-8"):
            answer = guess(content)
            verdict = judge(answer, encoding, known)
            table[length, state, verdict] += 1
            if verdict == "wrong":
                wrong.append((language, encoding, length, state, answer))
    print("| characters |", " | ".join(f"{state}: {', '.join(ANSWERS)}" for state in STATES), "|")
    print("|---|---|---|---|")
    for length in LENGTHS:
        cells = (", ".join(f"{table[length, s, a]:,}" for a in ANSWERS) for s in STATES)
        print(f"| {length:,} |", " | ".join(cells), "|")
    for line in wrong:
        print(*line)
    return {"count": count, "table": [[*key, n] for key, n in table.items()], "wrong": wrong}
