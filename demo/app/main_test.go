package main

import "testing"

func TestGreeting(t *testing.T) {
	if got := greeting("you"); got != "hello, you" {
		t.Errorf("greeting: %q", got)
	}
}
