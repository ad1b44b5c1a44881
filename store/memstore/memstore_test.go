package memstore_test

import (
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/storetest"
)

func open(t *testing.T, opt memstore.Options) store.Store {
	s := memstore.New(opt)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Mutations tried on this package, each of which the suite fails for, with what
// caught it. Try them again when touching a fence, the graph or a sweep.
//
//	Put ignores fences (check's error)               PurgeOvertakesPut and nine more
//	Get ignores fences (look does not judge)         PurgeTakesWhatCarriesTheName and twenty more
//	Put marks the record as seen after it checked    PurgeAtTheMomentOfPut, SoftPurgeOvertakesPut
//	Put takes what is older than what is stored      PutDoesNotReplaceTheNewer, the model
//	what is refused leaves no trace                  PurgeOvertakesPutThroughARefusedDep
//	Get marks the record as seen one purge too far   OddTags, PrefixPurge, CatchAllFallsWithEveryPurge
//	soft fences refuse a Put, or are not seen later  SoftPurgeOvertakesPut
//	a soft fall counts from the last of them         ManySoftPurgesNeverExtend, the model
//	merged falls keep the later time                 ManySoftPurgesNeverExtend
//	the later of two names' falls counts             SeveralSoftPurgesCountFromTheFirst, the model
//	a soft fall lifts a hard one                     HardBeatsSoft, the model
//	prefixes are not looked at                       PrefixPurge, the model
//	a purge does not fence the catch-all             CatchAllFallsWithEveryPurge, the model
//	folding leaves the floor where it is             FloorRaisesDoubt
//	Put ignores the floor                            FloorRaisesDoubt
//	a ticket from the future is taken                TicketsFromTheFutureAreRefused
//	a sweep frees the reborn                         the model
//	a sweep overlooks the key's other picks          URLPurgeTakesAllPicksAndSchemes
//	a soft sweep forgets what it yielded             SoftSweepReclaimsNothing, the model
//	a soft sweep yields the dead                     SoftSweepReclaimsNothing, the model
//	nothing is remembered of what leaves             DependentsKnowWhatEndedBeforeAnyoneDepended, the model
//	time is not extended upstream                    DependentsSurviveTheEnd
//	edges are not extended                           DependentsSurviveTheEnd, the model
//	a node does not learn what is stored             DependentsOneLevel, the model
//	a node does not learn later versions             DependentsWhateverCameFirst, the model
//	Put looks at nothing upstream                    PurgeOvertakesPutThroughADep, the model
//	what fell and left is forgotten                  PurgeOvertakesPutThroughASweptDep
//	a refusal never, or always, cascades             RefusalSaysWhenItMustBePassedOn
//	another Vary leaves the old picks                VaryChangeDropsVariants
//	picks, edges, the log are not bounded            TooManyPicks…, FullIndexRefusesDeps, TrimShowsAsGap
//	the dead are shown                               EntriesDie
//	a table forgets what follows a hole              PurgeOfManyNamesIsOne, the model
//	moved index members are not told                 panics in ManyTags, TestIndexIsSound
//	a Get believes what it read during a change      TestHitsAmongChanges, TestGetInTheMidstOfAChange
//	keys of one hash are not told apart              TestKeysOfOneHash
func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) store.Store { return open(t, memstore.Options{}) },
		NewSmall: func(t *testing.T) store.Store {
			return open(t, memstore.Options{
				MaxFences: storetest.Fences,
				Log:       storetest.PurgeLog,
				MaxEdges:  storetest.Edges,
				MaxPicks:  storetest.Picks,
			})
		},
		Tick:   time.Hour,
		Bubble: true,
	})
}
