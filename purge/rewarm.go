package purge

// raising notes that a purge is under way, until the function that it returns
// is called.
func (p *Purger) raising(id string) func() {
	n := new(bool)
	p.raised.Store(n, id)
	return func() { p.raised.Delete(n) }
}

// Mine reports whether this node raised the purge with an id, or is raising it:
// then Options.Swept is handed what fell. Of purges whose receipt is gone it
// knows nothing.
func (p *Purger) Mine(id string) bool {
	under := false
	p.raised.Range(func(_, v any) bool {
		under = v == id
		return !under
	})
	if !under {
		_, under = p.journal.find(id, 0)
	}
	return under
}

// Rewarming notes in a purge's receipt which run fetches again what was hot.
func (p *Purger) Rewarming(id, run string) {
	p.journal.change(id, func(r *Receipt) { r.WarmRun = run })
}

// Rewarmed notes in a purge's receipt that what was to be fetched again has
// been.
func (p *Purger) Rewarmed(id string) {
	p.journal.change(id, func(r *Receipt) {
		if r.State == Swept {
			r.State = Rewarmed
		}
	})
}

// change changes the receipt with an id, if it is kept.
func (j *journal) change(id string, how func(r *Receipt)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if rec := j.byID[id]; rec != nil {
		how(&rec.receipt)
	}
}

// over tells that no more keys of a purge come.
func (p *Purger) over(rec *record) {
	if p.o.Over != nil {
		p.o.Over(p.journal.read(rec).ID)
	}
}
