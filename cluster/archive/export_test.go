package archive

// Frame is one row as a file holds it.
var Frame = frame
