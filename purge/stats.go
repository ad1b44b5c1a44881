package purge

// Stats are what purges came to since the start.
type Stats struct {
	Purges  uint64            `json:"purges"`  // purges in force
	Soft    uint64            `json:"soft"`    // of these, those that only made stale
	By      map[Source]uint64 `json:"by"`      // of these, by the door they came through
	Events  uint64            `json:"events"`  // data changes received
	Entries uint64            `json:"entries"` // entries that fell, as far as they are swept
	Bytes   uint64            `json:"bytes"`   // what those held
	Waiting int               `json:"waiting"` // sweeps waiting
}

// Stats returns the counts.
func (p *Purger) Stats() Stats {
	c := p.counts
	s := Stats{
		By: make(map[Source]uint64), Events: c.events.Get(), Entries: c.sweptEntries.Get(), Bytes: c.sweptBytes.Get(),
		Waiting: int(p.queue.waiting()),
	}
	for by, modes := range c.purges {
		hard, soft := modes[0].Get(), modes[1].Get()
		s.By[by] = hard + soft
		s.Purges += hard + soft
		s.Soft += soft
	}
	return s
}
