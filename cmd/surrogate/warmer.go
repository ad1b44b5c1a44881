package main

import (
	"context"

	"surrogate/proxy"
	"surrogate/store"
	"surrogate/warm"
)

// newWarmer makes what does the jobs of the queue, by the proxy's own fetches.
func (n *node) newWarmer() *warm.Warmer {
	return warm.New(warm.Options{
		Queue:    n.queue,
		Fetch:    n.intake.Following(n.warmPage),
		Sites:    func() map[string]warm.Limits { return sitesWarm(n.settings.Load()) },
		Visiting: n.proxy.Visiting,
		Log:      n.log,
	})
}

// warmPage has one page stored.
func (n *node) warmPage(ctx context.Context, j store.Job) warm.Result {
	r := n.proxy.Warm(ctx, proxy.WarmAsk{URL: j.URL, Vary: j.Vary, Pick: j.Pick, Force: j.Force, Body: j.Depth > 0})
	return warm.Result{
		Outcome: store.Outcome{State: outcomeOf(&r), Why: r.Why, Bytes: r.Bytes, After: r.After},
		Origin:  warm.End{Asked: r.Cost > 0, Failed: r.State == proxy.WarmFailed && r.Passing, Took: r.Cost, After: r.After},
		Joined:  r.Joined, Status: r.Status, Page: r.Entry, Next: r.Location,
	}
}

func outcomeOf(r *proxy.WarmResult) store.OutcomeState {
	switch r.State {
	case proxy.WarmFresh:
		return store.Fresh
	case proxy.WarmStored:
		return store.Warmed
	case proxy.WarmUnkept:
		return store.Unkept
	}
	if r.Passing {
		return store.Again
	}
	return store.Failed
}
