package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// exampleWidth is how long a line of an example may be before it is broken.
const exampleWidth = 100

// layout formats JSON for reading: what fits on a line stays on one.
func layout(raw []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return layoutValue(d, "")
}

func layoutValue(d *json.Decoder, indent string) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", err
	}
	open, nested := token.(json.Delim)
	if !nested {
		return encodeToken(token)
	}
	inner := indent + "  "
	var parts []string
	for d.More() {
		name := ""
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return "", err
			}
			if name, err = encodeToken(token); err != nil {
				return "", err
			}
			name += ": "
		}
		value, err := layoutValue(d, inner)
		if err != nil {
			return "", err
		}
		parts = append(parts, name+value)
	}
	end, err := d.Token()
	if err != nil {
		return "", err
	}
	short := open.String() + strings.Join(parts, ", ") + end.(json.Delim).String()
	if len(indent)+len(short) <= exampleWidth && !strings.Contains(short, "\n") {
		return short, nil
	}
	return open.String() + "\n" + inner + strings.Join(parts, ",\n"+inner) + "\n" + indent + end.(json.Delim).String(), nil
}

// encodeToken writes a string, number, boolean or null, with < and > as they are.
func encodeToken(token json.Token) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(token); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}
