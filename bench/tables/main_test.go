package main

import "testing"

func TestColumnsAreCountedInCharacters(t *testing.T) {
	got := markdown("SIZE  CPU µS EACH  KIB\n1     -            -\n1000  14.7         30.4\n")
	want := "| size | cpu µs each | kib |\n|---|---|---|\n| 1 | - | - |\n| 1000 | 14.7 | 30.4 |\n"
	if got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
}

func TestOnlyWhatStandsBetweenTheMarksIsReplaced(t *testing.T) {
	got, err := replace([]byte("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"), "x", "new\n")
	if want := "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n"; err != nil || string(got) != want {
		t.Fatalf("%v, got\n%s", err, got)
	}
	if _, err := replace([]byte("a"), "x", ""); err == nil {
		t.Fatal("a page without marks was taken")
	}
}
