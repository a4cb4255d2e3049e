package builtin

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Why an expression has no value.
var (
	errNoExpression = errors.New("that is no expression")
	errNoValue      = errors.New("that has no value")
)

const maxDepth = 64 // of brackets

// A parser reads an expression by recursive descent:
//
//	sum     = product {("+" | "-") product}
//	product = power {("*" | "/" | "mod") power}
//	power   = ["-"] postfix ["^" power]
//	postfix = atom {"!" | "%"}
//	atom    = number | constant | function atom | "(" sum ")"
type parser struct {
	text  string
	depth int
}

var operators = strings.NewReplacer("×", "*", "·", "*", "÷", "/", "−", "-", "–", "-", "**", "^", "π", "pi", "√", "sqrt ", "²", "^2", "³", "^3")

var spelled = []struct{ words, sign string }{
	{" to the power of ", "^"}, {" divided by ", "/"}, {" multiplied by ", "*"}, {" times ", "*"}, {" plus ", "+"}, {" minus ", "-"}, {" over ", "/"},
	{"% of ", "%*"}, {" percent of ", "%*"}, {" squared", "^2"}, {" cubed", "^3"}, {"square root of ", "sqrt "}, {"the ", ""}, {" modulo ", " mod "},
	{" durch ", "/"}, {" mal ", "*"}, {" fois ", "*"}, {" por ", "*"}, {" x ", "*"},
}

// calculate returns the value of an expression. What is not wholly one is errNoExpression.
func calculate(text string) (float64, error) {
	text = operators.Replace(strings.ToLower(text))
	for _, s := range spelled {
		text = strings.ReplaceAll(text, s.words, s.sign)
	}
	p := &parser{text: thousands().ReplaceAllString(text, "$1$2")}
	value, err := p.sum()
	if err != nil {
		return 0, err
	}
	if p.space(); p.text != "" {
		return 0, errNoExpression
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, errNoValue
	}
	return value, nil
}

var thousands = lazy(`(\d),(\d\d\d)`)

func (p *parser) space() { p.text = strings.TrimLeft(p.text, " ") }

// sign takes one of signs.
func (p *parser) sign(signs string) byte {
	p.space()
	if p.text == "" || strings.IndexByte(signs, p.text[0]) < 0 {
		return 0
	}
	c := p.text[0]
	p.text = p.text[1:]
	return c
}

func (p *parser) sum() (float64, error) {
	value, err := p.product()
	for err == nil {
		c := p.sign("+-")
		if c == 0 {
			break
		}
		var next float64
		if next, err = p.product(); c == '+' {
			value += next
		} else {
			value -= next
		}
	}
	return value, err
}

func (p *parser) product() (float64, error) {
	value, err := p.power()
	for err == nil {
		c := p.sign("*/")
		if rest, ok := strings.CutPrefix(p.text, "mod"); c == 0 && ok {
			c, p.text = 'm', rest
		}
		if c == 0 {
			break
		}
		var next float64
		switch next, err = p.power(); c {
		case '*':
			value *= next
		case '/':
			value /= next
		default:
			value = math.Mod(value, next)
		}
	}
	return value, err
}

func (p *parser) power() (float64, error) {
	if p.depth++; p.depth > maxDepth {
		return 0, errNoExpression
	}
	defer func() { p.depth-- }()
	if p.sign("-") != 0 {
		value, err := p.power()
		return -value, err
	}
	value, err := p.postfix()
	if err != nil || p.sign("^") == 0 {
		return value, err
	}
	exponent, err := p.power()
	return math.Pow(value, exponent), err
}

func (p *parser) postfix() (float64, error) {
	value, err := p.atom()
	for err == nil {
		switch p.sign("!%") {
		case '!':
			if value != math.Trunc(value) || value < 0 || value > 170 {
				return 0, errNoValue
			}
			value = math.Round(math.Gamma(value + 1))
		case '%':
			value /= 100
		default:
			return value, nil
		}
	}
	return value, err
}

var functions = map[string]func(float64) float64{
	"sqrt": math.Sqrt, "sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "ln": math.Log, "log": math.Log10, "log2": math.Log2, "exp": math.Exp,
	"abs": math.Abs, "round": math.Round, "floor": math.Floor, "ceil": math.Ceil, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan,
}

func (p *parser) atom() (float64, error) {
	if p.sign("(") != 0 {
		if p.depth++; p.depth > maxDepth {
			return 0, errNoExpression
		}
		value, err := p.sum()
		p.depth--
		if err == nil && p.sign(")") == 0 {
			err = errNoExpression
		}
		return value, err
	}
	if p.space(); p.text == "" {
		return 0, errNoExpression
	}
	if c := p.text[0]; c >= '0' && c <= '9' || c == '.' {
		return p.number()
	}
	n := 0
	for n < len(p.text) && (p.text[n] >= 'a' && p.text[n] <= 'z' || n > 0 && p.text[n] >= '0' && p.text[n] <= '9') {
		n++
	}
	name := p.text[:n]
	p.text = p.text[n:]
	if f := functions[name]; f != nil {
		value, err := p.atom()
		return f(value), err
	}
	switch name {
	case "pi":
		return math.Pi, nil
	case "e":
		return math.E, nil
	}
	return 0, errNoExpression
}

func (p *parser) number() (float64, error) {
	n := 0
	for n < len(p.text) && (p.text[n] >= '0' && p.text[n] <= '9' || p.text[n] == '.') {
		n++
	}
	if rest := p.text[n:]; len(rest) > 1 && rest[0] == 'e' && (rest[1] >= '0' && rest[1] <= '9' || len(rest) > 2 && (rest[1] == '-' || rest[1] == '+') && rest[2] >= '0' && rest[2] <= '9') {
		n += 2
		for n < len(p.text) && p.text[n] >= '0' && p.text[n] <= '9' {
			n++
		}
	}
	value, err := strconv.ParseFloat(p.text[:n], 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNoExpression, err)
	}
	p.text = p.text[n:]
	return value, nil
}

// number writes a value with at most 12 digits that count, so that 0.1+0.2 is 0.3.
func number(value float64) string {
	if value == math.Trunc(value) && math.Abs(value) < 1e15 {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	text := strconv.FormatFloat(value, 'g', 12, 64)
	if strings.Contains(text, ".") && !strings.Contains(text, "e") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
