package main

import (
	"strconv"
	"strings"
)

// diskSizes are the settings that are bytes.
type diskSizes struct{ reserve, ballast int64 }

func (s *settings) sizes() (d diskSizes, err error) {
	if d.reserve, err = parseSize("disk_reserve", s.DiskReserve); err != nil {
		return d, err
	}
	if d.ballast, err = parseSize("disk_ballast", s.DiskBallast); err != nil {
		return d, err
	}
	if d.reserve == 0 {
		return d, failed("--disk-reserve 1MiB", "disk_reserve: a node that fills its disk to the last byte cannot get well by itself")
	}
	if d.ballast == 0 {
		d.ballast = -1 // none; 0 would be the default
	}
	return d, nil
}

// parseSize reads bytes as people write them: 64MiB, 1GiB, 4096.
func parseSize(key, text string) (int64, error) {
	for unit, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil || n < 0 {
			return 0, failed("--"+option{key: key}.flag()+" 64MiB", "%s: %q is not a size", key, text)
		}
		return n * bytes, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, failed("--"+option{key: key}.flag()+" 64MiB", "%s: %q is not a size", key, text)
	}
	return n, nil
}

// dialVia reads the pairs MEMBER=OTHER.
func (s *settings) dialVia() (map[string]string, error) {
	pairs := map[string]string{}
	for _, text := range s.DialVia {
		member, other, ok := strings.Cut(text, "=")
		if !ok || member == "" || other == "" {
			return nil, failed("--dial-via 10.0.0.2:7701=192.0.2.2:7701", "dial_via: %q is not MEMBER=OTHER", text)
		}
		pairs[member] = other
	}
	return pairs, nil
}
