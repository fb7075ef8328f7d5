//go:build race

package evaluator_test

// raceDetector says that allocations cannot be counted: under the detector sync.Pool (in regexp) forgets at random.
const raceDetector = true
