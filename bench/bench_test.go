package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRoundsEndInTime: all scenarios end within the time that there is, if each needs no more than one round of it, and what
// one does not take the others have.
func TestRoundsEndInTime(t *testing.T) {
	scenarios := []scenario{{name: "long", part: 6}, {name: "short", part: 1}, {name: "last", part: 3}}
	for name, tc := range map[string]struct {
		round map[string]time.Duration
		want  map[string]int
	}{
		"fast": {map[string]time.Duration{"long": time.Minute, "short": time.Second, "last": 2 * time.Minute}, map[string]int{"long": 5, "short": 5, "last": 5}},
		"slow": {map[string]time.Duration{"long": 5 * time.Minute, "short": time.Second, "last": 4 * time.Minute}, map[string]int{"long": 2, "short": 5, "last": 2}},
		"once": {map[string]time.Duration{"long": time.Hour, "short": time.Minute, "last": time.Minute}, map[string]int{"long": 1, "short": 1, "last": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := time.Now().Add(20 * time.Minute)
				for i, c := range scenarios {
					until := time.Now().Add(share(time.Until(end), scenarios[i:]))
					n, err := repeat(5, until, func(int) error { time.Sleep(tc.round[c.name]); return nil })
					if n != tc.want[c.name] || err != nil {
						t.Errorf("%s: %d rounds, %v", c.name, n, err)
					}
				}
			})
		})
	}
}
