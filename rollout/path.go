package rollout

import (
	"fmt"
	"strconv"
	"strings"
)

// parsePath reads a JSON path: $.data.items[0].ok or $['a b'].c, with or without braces around it.
func parsePath(text string) ([]any, error) {
	text = strings.TrimSpace(text)
	text = strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	rest, ok := strings.CutPrefix(text, "$")
	if text != "" && !ok {
		return nil, fmt.Errorf("%q is no path: it begins with $, for example $.data.ok", text)
	}
	var out []any
	for rest != "" {
		var part any
		var err error
		if part, rest, err = pathPart(rest); err != nil {
			return nil, fmt.Errorf("%q is no path: %w", text, err)
		}
		out = append(out, part)
	}
	return out, nil
}

func pathPart(rest string) (part any, left string, err error) {
	if rest[0] == '.' {
		end := strings.IndexAny(rest[1:], ".[")
		if end < 0 {
			end = len(rest) - 1
		}
		if end == 0 {
			return nil, "", fmt.Errorf("a name is missing; searches with .. are not known")
		}
		return rest[1 : 1+end], rest[1+end:], nil
	}
	end := strings.IndexByte(rest, ']')
	if rest[0] != '[' || end < 0 {
		return nil, "", fmt.Errorf("%q is neither .name nor [index]", rest)
	}
	inside, left := rest[1:end], rest[end+1:]
	if len(inside) > 1 && (inside[0] == '\'' || inside[0] == '"') && inside[len(inside)-1] == inside[0] {
		return inside[1 : len(inside)-1], left, nil
	}
	index, err := strconv.Atoi(inside)
	if err != nil || index < 0 {
		return nil, "", fmt.Errorf("[%s] is no index", inside)
	}
	return index, left, nil
}

// Select follows a path into a decoded JSON value; nil when it leads nowhere.
func Select(value any, path string) (any, error) {
	parts, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		switch p := part.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[p]
		case int:
			list, _ := value.([]any)
			if p >= len(list) {
				return nil, nil
			}
			value = list[p]
		}
	}
	return value, nil
}
