package sealing_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/domain"
	"phantom/sealing"
)

func TestWhatIsSealedOpensAsItWas(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	rapid.Check(t, func(r *rapid.T) {
		var batch []domain.InferenceMade
		for range rapid.IntRange(1, 5).Draw(r, "rows") {
			made := inference(domain.SubjectRef(rapid.SampledFrom([]string{"", "ann", "bo"}).Draw(r, "subject")))
			made.Row = rapid.IntRange(0, 3).Draw(r, "row")
			made.InputFeatures = anyContent(r, "inputs")
			made.Prediction = anyContent(r, "prediction")
			batch = append(batch, made)
		}
		before := slices.Clone(batch)
		require.NoError(r, h.Seal(t.Context(), acme, batch))
		for i, made := range batch {
			require.Empty(r, made.InputFeatures.Clear, "inputs are always private")
			require.Equal(r, made.SubjectRef == "" || before[i].Prediction.Clear == nil, made.Prediction.Sealed == nil)
		}
		// The other way is through the stored form.
		for i := range batch {
			name, version, data, err := domain.Encode(batch[i])
			require.NoError(r, err)
			stored, err := domain.Decode(name, version, data)
			require.NoError(r, err)
			batch[i] = stored.(domain.InferenceMade)
		}
		require.NoError(r, h.Open(t.Context(), acme, batch))
		require.Equal(r, before, batch)
	})
}

func anyContent(r *rapid.T, name string) domain.Content {
	if rapid.Bool().Draw(r, "no "+name) {
		return domain.Content{}
	}
	text, err := json.Marshal(rapid.String().Draw(r, name))
	require.NoError(r, err)
	return domain.InClear(text)
}

// TestASealOpensInItsPlaceOnly: with the right key, in any other place it is a forgery.
func TestASealOpensInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	ours := sealed(t, h.Keyring, acme, inference("ann"))
	other := sealed(t, h.Keyring, acme, inference("ann"))
	require.Equal(t, ours.Prediction.Sealed.Key, other.Prediction.Sealed.Key, "one person, one key")

	for name, change := range map[string]func(*domain.InferenceMade){
		"another row":       func(e *domain.InferenceMade) { e.Row++ },
		"another inference": func(e *domain.InferenceMade) { e.InferenceID = other.InferenceID },
		"another field": func(e *domain.InferenceMade) {
			e.Prediction, e.InputFeatures = e.InputFeatures, domain.Content{}
		},
		"swapped fields": func(e *domain.InferenceMade) { e.Prediction, e.InputFeatures = e.InputFeatures, e.Prediction },
		"another's seal": func(e *domain.InferenceMade) { e.Prediction = other.Prediction },
		"a changed bit": func(e *domain.InferenceMade) {
			e.Prediction.Sealed = &domain.Sealed{
				Key: e.Prediction.Sealed.Key, Nonce: e.Prediction.Sealed.Nonce, Ciphertext: slices.Clone(e.Prediction.Sealed.Ciphertext),
			}
			e.Prediction.Sealed.Ciphertext[3] ^= 1
		},
		"a short nonce": func(e *domain.InferenceMade) {
			e.Prediction.Sealed = &domain.Sealed{Key: e.Prediction.Sealed.Key, Nonce: []byte{1}, Ciphertext: e.Prediction.Sealed.Ciphertext}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			moved := ours
			change(&moved)
			require.ErrorIs(t, refused(t, h.Keyring, acme, moved), sealing.ErrForged)
		})
	}
	require.ErrorIs(t, refused(t, h.Keyring, "globex", ours), sealing.ErrUnknownKey, "a tenant's keys are its own")
	require.Equal(t, `"7"`, string(opened(t, h.Keyring, acme, ours).Prediction.Clear))
}

// TestATenantsSealDoesNotOpenForAnother, not even with the key under its name.
func TestATenantsSealDoesNotOpenForAnother(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	ours := sealed(t, h.Keyring, acme, inference("ann"))
	h.admin(t, `insert into keyring.keys (tenant_id, key_id, kind, name, day) select 'globex', key_id, kind, name, day from keyring.keys`)
	h.admin(t, `insert into keyring.material select 'globex', key_id, wrapped, wrapped_with from keyring.material`)
	require.ErrorIs(t, refused(t, h.Keyring, "globex", ours), sealing.ErrForged)
	require.NotEqual(t, sealing.Covered(acme, ours, "prediction"), sealing.Covered("globex", ours, "prediction"))
	require.NotEqual(t, sealing.Covered("a", ours, "b"), sealing.Covered("ab", ours, ""))
}

// TestACopiedKeyDoesNotServe: whoever may write into the database cannot keep a key under another's name
// past its erasure.
func TestACopiedKeyDoesNotServe(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	ann, bo := sealed(t, h.Keyring, acme, inference("ann")), sealed(t, h.Keyring, acme, inference("bo"))
	h.admin(t, `update keyring.material set wrapped = (select m.wrapped from keyring.material m where m.key_id = $1) where key_id = $2`,
		ann.Prediction.Sealed.Key, bo.Prediction.Sealed.Key)
	require.ErrorIs(t, refused(t, h.Keyring, acme, bo), sealing.ErrForged)
	err := h.Seal(t.Context(), acme, []domain.InferenceMade{inference("bo")})
	require.ErrorIs(t, err, sealing.ErrForged, "nothing is sealed with it either")
}

// TestWhoseKeySeals: a person's own, else that of the model and the day of the inference.
func TestWhoseKeySeals(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	key := func(tenant domain.Tenant, change func(*domain.InferenceMade)) string {
		made := inference("")
		change(&made)
		return sealed(t, h.Keyring, tenant, made).InputFeatures.Sealed.Key
	}
	same := func(*domain.InferenceMade) {}
	day := key(acme, same)
	require.Equal(t, day, key(acme, same))
	require.NotEqual(t, day, key("globex", same))
	require.NotEqual(t, day, key(acme, func(e *domain.InferenceMade) {
		e.InferenceID = domain.InferenceID(strings.Replace(string(e.InferenceID), "11-23", "11-24", 1))
	}))
	require.NotEqual(t, day, key(acme, func(e *domain.InferenceMade) { e.ModelID = "letters" }))
	ann := key(acme, func(e *domain.InferenceMade) { e.SubjectRef = "ann" })
	require.NotEqual(t, day, ann)
	require.Equal(t, ann, key(acme, func(e *domain.InferenceMade) { e.SubjectRef, e.ModelID = "ann", "letters" }), "of all models")
	require.NotEqual(t, ann, key(acme, func(e *domain.InferenceMade) { e.SubjectRef = "digits" }), "a person may be named as a model is")
}

// TestTheLengthTellsNothing: one class is not told from another by the length of its seal.
func TestTheLengthTellsNothing(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	length := func(class string) int {
		made := inference("ann")
		made.Prediction = domain.InClear(json.RawMessage(class))
		return len(sealed(t, h.Keyring, acme, made).Prediction.Sealed.Ciphertext)
	}
	require.Equal(t, length(`"healthy"`), length(`"ill with something that has a long name"`))
	require.Equal(t, length(`1`), length(`"`+strings.Repeat("x", 62)+`"`))
	require.Equal(t, length(`1`)+64, length(`"`+strings.Repeat("x", 63)+`"`))
}

// TestTwoThatMakeOneKeyAgree: many processes seal for the same new people at once.
func TestTwoThatMakeOneKeyAgree(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	subjects := []domain.SubjectRef{"ann", "bo", "cy", "di", ""}
	const processes = 6
	batches := make([][]domain.InferenceMade, processes)
	errs := make([]error, processes)
	begin := make(chan struct{})
	var group sync.WaitGroup
	for p := range processes {
		keyring := h.another(t, "file://"+h.keyFile, sealing.Params{})
		for _, subject := range subjects {
			batches[p] = append(batches[p], inference(subject))
		}
		if p%2 == 1 {
			slices.Reverse(batches[p]) // nobody waits for one who waits for him
		}
		group.Go(func() {
			<-begin
			errs[p] = keyring.Seal(t.Context(), acme, batches[p])
		})
	}
	close(begin)
	group.Wait()
	keys := map[domain.SubjectRef]map[string]bool{}
	for p, batch := range batches {
		require.NoError(t, errs[p])
		for _, made := range batch {
			if keys[made.SubjectRef] == nil {
				keys[made.SubjectRef] = map[string]bool{}
			}
			keys[made.SubjectRef][made.InputFeatures.Sealed.Key] = true
			require.JSONEq(t, `{"x":[1,2]}`, string(opened(t, h.Keyring, acme, made).InputFeatures.Clear))
		}
	}
	for subject, ids := range keys {
		require.Len(t, ids, 1, "%s has one key", subject)
	}
	require.Equal(t, len(subjects), h.count(t, "select count(*) from keyring.material"))
}

// TestAKeyIsForgottenInItsLifetime counts from when it was read, and the least used leaves first.
func TestAKeyIsForgottenInItsLifetime(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	h := build(t, sealing.Params{Now: clock, Most: 2})
	ann := sealed(t, h.Keyring, acme, inference("ann"))
	h.erase(t, sealing.Erasure{Kind: sealing.Subject, Name: "ann"})
	pass(sealing.Lifetime - time.Second)
	require.Equal(t, `"7"`, string(opened(t, h.Keyring, acme, ann).Prediction.Clear), "this process does not know yet")
	late := sealed(t, h.Keyring, acme, inference("ann"))
	require.NotNil(t, late.Prediction.Sealed)
	pass(time.Second)
	require.Equal(t, domain.Content{Erased: true}, opened(t, h.Keyring, acme, ann).Prediction)
	require.Equal(t, domain.Content{Erased: true}, opened(t, h.Keyring, acme, late).Prediction, "gone with the others")
	require.Equal(t, domain.Content{Erased: true}, sealed(t, h.Keyring, acme, inference("ann")).Prediction)

	bo := sealed(t, h.Keyring, acme, inference("bo"))
	for _, other := range []domain.SubjectRef{"cy", "di"} { // two are the most that are kept
		sealed(t, h.Keyring, acme, inference(other))
	}
	h.erase(t, sealing.Erasure{Kind: sealing.Subject, Name: "bo"})
	require.True(t, opened(t, h.Keyring, acme, bo).Prediction.Erased, "it was pushed out and is read anew")
}
