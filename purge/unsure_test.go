package purge_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"surrogate/purge"
	"surrogate/store"
)

// An unsure store does not know whether it has purged.
type unsure struct{ store.Store }

func (unsure) Purge(context.Context, store.Purge) (store.Event, error) {
	return store.Event{}, fmt.Errorf("the line is dead: %w", store.ErrUnsure)
}

func TestAPurgeThatMayBeInForceSaysSo(t *testing.T) {
	p := purge.New(purge.Options{Store: unsure{newStore(t)}})
	status, got := ask(t, p, "POST", "/v1/purge", `{"tags":["t"]}`)
	detail, _ := got["detail"].(string)
	if status != http.StatusServiceUnavailable || strings.Contains(detail, "Nothing was purged") || !strings.Contains(detail, "may have been purged") {
		t.Errorf("%d %q", status, detail)
	}
	if _, err := p.PurgeTags(t.Context(), "t"); err == nil {
		t.Error("it succeeded")
	}
}
