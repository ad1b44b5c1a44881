package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// setText sets a value or a list, separated by commas, from text: a tag, an
// environment variable or a flag. What is wrong goes to report, with the index
// of the element, or -1 for a value.
func setText(k key, text string, report func(int, error)) {
	if k.value.Kind() != reflect.Slice {
		if err := setScalar(k, k.value, text); err != nil {
			report(-1, err)
		}
		return
	}
	var items []any
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	setList(k, items, report)
}

// setList sets a list from values of a TOML document. Nothing is set when an
// element is bad; report gets the index of each that is.
func setList(k key, items []any, report func(int, error)) {
	list := reflect.MakeSlice(k.value.Type(), len(items), len(items))
	seen, bad := map[string]bool{}, false
	for i, item := range items {
		text, err := textOf(list.Type().Elem(), item)
		if err == nil && text == "" {
			err = errors.New("want no empty string in a list")
		}
		if err == nil {
			err = setScalar(k, list.Index(i), text)
		}
		if err == nil {
			normal := fmt.Sprint(list.Index(i).Interface())
			if strings.HasPrefix(k.tag.Get("is"), "field") {
				normal = strings.ToLower(normal)
			}
			if seen[normal] && k.tag.Get("is") != "key-file" {
				err = fmt.Errorf("%sis listed twice", quoted(k, text, " "))
			}
			seen[normal] = true
		}
		if err != nil {
			report(i, err)
			bad = true
		}
	}
	if !bad {
		k.value.Set(list)
	}
}

// setScalar sets v, which is k's value or an element of it, from text, if all
// that k's tags ask for holds.
func setScalar(k key, v reflect.Value, text string) error {
	parsed, err := parse(v.Type(), text)
	if err == nil {
		err = bounds(k.tag, parsed)
	}
	if s, ok := parsed.(string); ok && s != "" {
		if check := checks[k.tag.Get("is")]; check != nil {
			parsed, err = check(s)
		}
	}
	if one := strings.Fields(k.tag.Get("one")); len(one) > 0 {
		err = oneOf(text, one)
	}
	if err != nil {
		return fmt.Errorf("%s%w", quoted(k, text, ": "), err)
	}
	v.Set(reflect.ValueOf(parsed).Convert(v.Type()))
	return nil
}

// quoted is the value for a message, or nothing where it is a secret, such as
// the password in a URL.
func quoted(k key, text, after string) string {
	if is := k.tag.Get("is"); is == "token" || is == "secret" || is == "redis" || strings.Contains(text, "@") {
		return ""
	}
	return strconv.Quote(text) + after
}

// parse reads text as a value of type t.
func parse(t reflect.Type, text string) (any, error) {
	switch t {
	case reflect.TypeFor[Duration]():
		return ParseDuration(text)
	case reflect.TypeFor[Bytes]():
		return ParseBytes(text)
	case reflect.TypeFor[netip.Prefix]():
		return parsePrefix(text)
	case reflect.TypeFor[*url.URL]():
		return parseOrigin(text)
	}
	switch t.Kind() {
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			return nil, errors.New("want a whole number")
		}
		return i, nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) {
			return nil, errors.New("want a number")
		}
		return f, nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("want true or false")
		}
		return b, nil
	}
	return text, nil
}

// bounds checks a number against the tags min, 0 unless given, and max.
func bounds(tag reflect.StructTag, parsed any) error {
	n, ok := number(parsed)
	if !ok {
		return nil
	}
	limit := func(name string) (float64, bool) {
		text, given := tag.Lookup(name)
		if !given {
			return 0, false
		}
		l, err := parse(reflect.TypeOf(parsed), text)
		if err != nil {
			return 0, false
		}
		return number(l)
	}
	if least, _ := limit("min"); n < least {
		return fmt.Errorf("want at least %s", cmp.Or(tag.Get("min"), "0"))
	}
	if most, given := limit("max"); given && n > most {
		return fmt.Errorf("want at most %s", tag.Get("max"))
	}
	return nil
}

func number(parsed any) (float64, bool) {
	v := reflect.ValueOf(parsed)
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

func oneOf(text string, words []string) error {
	if slices.Contains(words, text) {
		return nil
	}
	last := len(words) - 1
	return fmt.Errorf(`want "%s" or "%s"%s`, strings.Join(words[:last], `", "`), words[last], didYouMean(text, words, `"`))
}

// textOf is the text of a value in a TOML document, if the value is of a type
// that a key of type t accepts.
func textOf(t reflect.Type, v any) (string, error) {
	number := t == reflect.TypeFor[Duration]() || t == reflect.TypeFor[Bytes]()
	switch x := v.(type) {
	case string:
		if number || !numeric(t) && t.Kind() != reflect.Bool {
			return x, nil
		}
	case int64:
		if number || numeric(t) {
			return strconv.FormatInt(x, 10), nil
		}
	case float64:
		if t.Kind() == reflect.Float64 {
			return strconv.FormatFloat(x, 'g', -1, 64), nil
		}
	case bool:
		if t.Kind() == reflect.Bool {
			return strconv.FormatBool(x), nil
		}
	}
	return "", fmt.Errorf("want %s, not %s", wanted(t), found(v))
}

func numeric(t reflect.Type) bool {
	return t.Kind() == reflect.Int || t.Kind() == reflect.Float64
}

// wanted says what a key of type t accepts.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return `a duration such as "90s"`
	case t == reflect.TypeFor[Bytes]():
		return `a size such as "64MiB"`
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a string"
}

// found says what a value in a TOML document is, and not the value: it may be a
// secret.
func found(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case time.Time, toml.LocalDate, toml.LocalTime, toml.LocalDateTime:
		return "a date or time"
	}
	return "that"
}
