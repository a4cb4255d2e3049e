package builtin

import (
	"fmt"
	"strconv"
	"strings"
)

// A unit is a factor to the base of its kind, and for temperatures what is added before.
type unit struct {
	kind   string
	factor float64
	plus   float64
}

var unitNames = map[string]unit{}

func init() {
	for _, u := range []struct {
		names, kind  string
		factor, plus float64
	}{
		{"m meter meters metre metres", "length", 1, 0}, {"km kilometer kilometers kilometre kilometres", "length", 1000, 0},
		{"cm centimeter centimeters centimetre centimetres", "length", 0.01, 0}, {"mm millimeter millimeters millimetre millimetres", "length", 0.001, 0},
		{"mi mile miles", "length", 1609.344, 0}, {"ft foot feet", "length", 0.3048, 0}, {"in inch inches", "length", 0.0254, 0},
		{"yd yard yards", "length", 0.9144, 0}, {"nmi", "length", 1852, 0},
		{"kg kilo kilos kilogram kilograms", "mass", 1, 0}, {"g gram grams", "mass", 0.001, 0}, {"mg milligram milligrams", "mass", 1e-6, 0},
		{"t ton tons tonne tonnes", "mass", 1000, 0}, {"lb lbs pound pounds", "mass", 0.45359237, 0}, {"oz ounce ounces", "mass", 0.028349523125, 0},
		{"stone stones", "mass", 6.35029318, 0},
		{"l liter liters litre litres", "volume", 1, 0}, {"ml milliliter milliliters millilitre millilitres", "volume", 0.001, 0},
		{"gal gallon gallons", "volume", 3.785411784, 0}, {"pint pints", "volume", 0.473176473, 0}, {"cup cups", "volume", 0.2365882365, 0},
		{"tbsp tablespoon tablespoons", "volume", 0.01478676478125, 0}, {"tsp teaspoon teaspoons", "volume", 0.00492892159375, 0},
		{"s sec second seconds", "time", 1, 0}, {"min minute minutes", "time", 60, 0}, {"h hour hours", "time", 3600, 0}, {"day days", "time", 86400, 0},
		{"week weeks", "time", 604800, 0}, {"ms millisecond milliseconds", "time", 0.001, 0},
		{"c celsius °c", "temperature", 1, 273.15}, {"f fahrenheit °f", "temperature", 5.0 / 9, 459.67}, {"k kelvin", "temperature", 1, 0},
		{"b byte bytes", "data", 1, 0}, {"kb kilobyte kilobytes", "data", 1e3, 0}, {"mb megabyte megabytes", "data", 1e6, 0}, {"gb gigabyte gigabytes", "data", 1e9, 0},
		{"tb terabyte terabytes", "data", 1e12, 0}, {"kib", "data", 1 << 10, 0}, {"mib", "data", 1 << 20, 0}, {"gib", "data", 1 << 30, 0}, {"bit bits", "data", 0.125, 0},
		{"km/h kmh kph", "speed", 1 / 3.6, 0}, {"mph", "speed", 0.44704, 0}, {"m/s", "speed", 1, 0}, {"kn knot knots", "speed", 1852.0 / 3600, 0},
		{"ha hectare hectares", "area", 10000, 0}, {"acre acres", "area", 4046.8564224, 0}, {"m2 m² sqm", "area", 1, 0}, {"km2 km²", "area", 1e6, 0}, {"sqft ft2", "area", 0.09290304, 0},
	} {
		for _, n := range strings.Fields(u.names) {
			unitNames[n] = unit{u.kind, u.factor, u.plus}
		}
	}
}

const unitWord = `([a-z°²/]+\d?)`

var conversion = lazy(`(?i)(?:^|\s)(-?\d+(?:[.,]\d+)?)\s*` + unitWord + `\s+(?:in|to|into|as|in to|en|nach|→)\s+` + unitWord + `[?.!]*$`)
var howMany = lazy(`(?i)how (?:many|much)\s+` + unitWord + `\s+(?:are|is|make|do)?\s*(?:there\s+)?(?:in|are in|is)?\s*(-?\d+(?:[.,]\d+)?|an?|one)\s*` + unitWord + `[?.!]*$`)

// convert answers "5 km in miles" and "how many feet are in 3 m".
func convert(t *turn, _ []string) (string, error) {
	var amount, from, to string
	if m := conversion().FindStringSubmatch(t.text); m != nil {
		amount, from, to = m[1], m[2], m[3]
	} else if m := howMany().FindStringSubmatch(t.text); m != nil {
		amount, from, to = m[2], m[3], m[1]
	} else {
		return "", errNotThis
	}
	a, okA := unitNames[strings.ToLower(from)]
	b, okB := unitNames[strings.ToLower(to)]
	if !okA || !okB {
		return "", errNotThis
	}
	if a.kind != b.kind {
		return fmt.Sprintf("That cannot be converted: one is of %s, the other of %s.", a.kind, b.kind), nil
	}
	value, err := strconv.ParseFloat(strings.Replace(amount, ",", ".", 1), 64)
	if err != nil {
		value = 1 // "a mile"
	}
	result := (value+a.plus)*a.factor/b.factor - b.plus
	return fmt.Sprintf("%s %s = **%s %s**", number(value), from, strconv.FormatFloat(roundTo(result), 'f', -1, 64), to), nil
}

// roundTo keeps six digits that count.
func roundTo(value float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 6, 64), 64)
	if err != nil {
		return value
	}
	return rounded
}

// based is the pattern of rebase.
const based = `(?:^|\s)(0x[0-9a-f]{1,16}|0b[01]{1,64}|0o[0-7]{1,21}|\d{1,19}|[0-9a-f]{1,16})\s*(?:\(?(hex|hexadecimal|binary|octal|decimal)\)?\s+)?(?:in|to|into|as)\s+(hex(?:adecimal)?|bin(?:ary)?|oct(?:al)?|dec(?:imal)?)[?.!]*$`

var bases = map[string]int{"h": 16, "b": 2, "o": 8, "d": 10}

// rebase answers "255 in hex", "0xff to binary", "1010 binary to decimal".
func rebase(_ *turn, m []string) (string, error) {
	base := 0
	digits := strings.ToLower(m[1])
	if m[2] != "" {
		base = bases[strings.ToLower(m[2][:1])]
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return "", errNotThis
	}
	to := bases[strings.ToLower(m[3][:1])]
	prefix := map[int]string{16: "0x", 2: "0b", 8: "0o", 10: ""}[to]
	return fmt.Sprintf("`%s` = **%s%s**", m[1], prefix, strconv.FormatUint(n, to)), nil
}
