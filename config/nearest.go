package config

// Nearest is the candidate that word is most likely a slip for, "" when none is
// near: for the command line, whose words are not keys.
func Nearest(word string, candidates []string) string { return nearest(word, candidates) }
