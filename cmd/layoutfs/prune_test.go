package main

import (
	"testing"
	"time"
)

func TestLongTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "30d": 720 * time.Hour, "1.5d": 36 * time.Hour, "2w": 336 * time.Hour, "12h": 12 * time.Hour, "90m": 90 * time.Minute, "0": 0,
	} {
		if got, err := longTime(text); err != nil || got != want {
			t.Errorf("%q is %s: %v", text, got, err)
		}
	}
	for _, text := range []string{"d", "-1d", "soon", "3", "1e300d", "NaNd", "-5m"} {
		if got, err := longTime(text); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}
