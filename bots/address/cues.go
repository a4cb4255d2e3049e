package address

import "strings"

// The cue words, folded, in English, German, French, Spanish and Arabic. A word that means something else in another of
// these languages stands only where both readings lead to the same decision.

// words makes a set.
func words(lists ...string) map[string]bool {
	set := map[string]bool{}
	for _, list := range lists {
		for _, w := range strings.Fields(fold(list)) {
			set[w] = true
		}
	}
	return set
}

var (
	// greetings right before a name call it.
	greetings = words(`hey hi hello yo dear howdy morning afternoon evening ahoy hiya heya`,
		`hallo servus moin tag morgen abend liebe lieber`, `salut bonjour bonsoir coucou he cher chere`, `hola oye buenas buenos dias querido`,
		`مرحبا اهلا أهلا السلام عليكم سلام يا أيها أيتها هاي هلا`)

	// openers may stand before a name that begins a sentence.
	openers = words(`ok okay so and but well now also please pls alright right then yes yeah yep no nope oh ah um uh hmm sorry excuse me
		good by btw anyway actually again wait quick question`,
		`gut guten schonen also und aber nun jetzt bitte ja nein naja na ach entschuldigung sag mal du`,
		`alors bon bonne et mais donc oui non ah euh pardon dis s'il te plait`,
		`bueno bien y pero entonces ahora si no ah perdon por favor mira`,
		`طيب حسنا و ثم إذن الآن نعم لا من فضلك لو سمحت عفوا`)

	// vocatives call the name after them wherever they stand.
	vocatives = words(`يا ايها أيتها`)

	// courtesies are said to a bot without a wish that it answers.
	courtesies = words(`thanks thank thx ty tysm cheers great perfect nice awesome cool excellent brilliant lovely done job work
		bye goodbye ciao night congrats welcome appreciated lol haha wow amazing neat sweet kudos bravo`,
		`danke dankeschon dank super toll prima klasse tschuss spitze genial`,
		`merci parfait genial bravo super adieu`, `gracias perfecto genial excelente adios`,
		`شكرا شكرًا جزيلا ممتاز رائع أحسنت وداعا تمام`)

	// padding goes with courtesies.
	padding = words(`you u so much very a lot all good well again for the that this it help ok okay that's was is really got works to me everyone everybody
		no problem ha`,
		`dir ihnen sehr viel vielen fur die das den hilfe ja auch`, `beaucoup bien pour l'aide tout ca`, `muchas mucho por la ayuda todo`,
		`لك لكم على كثيرا المساعدة`)

	// questions begin a question.
	questions = words(`what who whom whose which when where why how what's who's where's when's how's whats whos anything any`,
		`wer wen wem wessen wann wo warum wieso weshalb wie welche welcher welches woher wohin wozu gibt`,
		`quoi qui quand ou pourquoi comment combien quel quelle quels quelles qu'est-ce qu'ai-je est-ce que`,
		`que quien quienes cuando donde como cual cuales cuanto cuantos cuanta cuantas por`,
		`ما ماذا من متى أين لماذا كيف هل كم أي بماذا لمن ومن`)

	// imperatives ask for something.
	imperatives = words(`summarise summarize recap list show find search tell give write make create start stop set remind roll pick choose
		explain help translate repeat read check count draw open close post send note record remember forget calculate compute convert quote
		cancel please pls look flip toss define describe compare rewrite shorten add remove export draft suggest answer ask say spell
		name sort rank vote poll turn wake leave join mute unmute wait try run do begin continue summary minutes decisions
		agenda standup timer catch bring get put take generate propose save schedule`,
		`fasse fass such suche zeig zeige finde find liste erzahl erzahle hilf sag mach mache gib schreib schreibe erklar erklare starte stopp
		ubersetze wiederhole rechne wahle wurfle erinnere bitte nenn nenne lies notiere merk zahl zusammenfassung protokoll`,
		`resume cherche montre trouve liste dis aide lance donne ecris explique traduis repete calcule choisis rappelle compte lis note fais`,
		`resume busca muestra encuentra lista di dime ayuda ayudame da dame escribe explica traduce repite calcula elige recuerda recuerdame
		cuenta lee haz pon inicia`,
		`لخص ابحث اعرض ساعدني ساعد قل اكتب اشرح ترجم أعد احسب اختر ذكرني عد اقرأ أعطني اعطني ابدأ أوقف أخبرني اخبرني هات دون`)

	// auxiliaries ask for something when a second person follows, or are one word with it.
	auxiliaries = words(`can could would will do did does are is have has should may might shall was were am don't didn't won't can't aren't isn't`,
		`kannst konntest konnen wurdest willst hast habe hab bist magst darf kann konnte konnt ist sind haben hat war waren soll`,
		`peux pouvez pourrais pourriez as es avez etes veux sais`, `puedes podrias puede podria tienes sabes quieres eres hay`,
		`ممكن تستطيع يمكنك بإمكانك`)
	seconds = words(`you u ya we i me us it there he she they`, `du sie ihr wir ich uns es mir man`, `tu vous je nous me`, `usted tu me nos`,
		`أن تقول لي`)
	requests = words(`peux-tu pouvez-vous pourrais-tu pourriez-vous as-tu avez-vous sais-tu est-ce veux-tu y-a-t-il`,
		`puedes podrias podria`, `يمكنك هل ممكن أيمكنك تستطيع`, `kannst konntest wurdest`, `what's who's`)

	// abouts follow a name that is spoken about.
	abouts = words(`is are was were has had have does did do will would can could should shall may might must seems seemed seem looks looked says
		said wrote writes makes made gets got gave gives takes took thinks knows knew works worked needs wants likes never always also
		just only still already doesn't isn't wasn't won't can't cannot couldn't didn't hasn't keeps kept broke crashed failed answered
		replied told summarised summarized posted missed and or with without for from in on at to by about vs versus too here there not
		as than that which whose who's who'll will've helps helped tells shows forgot sounds sounded lists deserves found stopped started
		today yesterday tomorrow notes minutes bot bots itself again`,
		`ist war hat wird kann sagt sagte schrieb macht wurde soll sollte und oder mit fur von im am auch nicht nie immer schon hatte meint findet
		geht muss braucht`,
		`est etait a fait dit peut va sera et ou avec pour de dans sur n'est n'a ne aussi pas toujours doit`,
		`es era esta estaba ha fue puede dice dijo va y o con para de en no tambien nunca siempre tiene hizo`,
		`قال كان هو هي ليس كتب يكتب لا لم لن في على مع و إنه`)

	// copulas make a noun of an imperative before them: "list is too long".
	copulas = words(`is was are were has had looks seems`, `ist war`, `est etait`, `es era esta`)

	// follows begin a follow-up, or are one.
	follows = words(`and also then more again shorter longer else another next continue now but why same instead`,
		`und auch dann mehr nochmal noch weiter kurzer langer warum sowie`,
		`et aussi puis plus encore continue pourquoi alors`, `y tambien mas luego sigue continua por`,
		`و وماذا ومن ومتى وأين أيضا ثم المزيد أكثر تابع أكمل`)

	// pleases end a short wish.
	pleases = words(`please pls bitte plait favor فضلك`)

	// speakers and listeners after an auxiliary make a question of it without any mark.
	speakers = words(`you u ya i we`, `du ich wir ihr sie`, `tu vous je nous`, `usted`)

	yesNo = words(`yes no yeah yep nope sure ok okay please`, `ja nein klar gerne bitte`, `oui non`, `si no claro`, `نعم لا أجل`)

	// crowds address everybody.
	crowds = words(`everyone everybody anyone anybody somebody someone guys folks y'all team`, `jemand alle leute`, `quelqu'un`,
		`alguien todos chicos`, `أحد أحدكم جميعا شباب الجميع`)

	articles = words(`the a an our my your this that which who`, `der die das ein eine unser unsere`, `le la l'un notre qui`, `el la un nuestro`)
)
