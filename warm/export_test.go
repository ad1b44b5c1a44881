package warm

// Share is Limits.share, for tests.
func Share(l Limits, rank, nodes int) Limits { return l.share(rank, nodes) }
