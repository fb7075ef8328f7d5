//go:build !race

package evaluator_test

const raceDetector = false
