package mesos

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSubscribe(t *testing.T) {
	for _, e := range []Encoding{Protobuf, JSON} {
		t.Run(string(e), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				m := n.master(t, "m:5050")
				d, _ := testDriver(t, n, "m:5050", func(c *Config) { c.Encoding = e })
				r := start(t, d, "")

				sub := next[Subscribed](r)
				s := <-m.streams
				assert.Equal(t, Subscribed{FrameworkID: "framework-1", StreamID: s.id,
					HeartbeatInterval: 15 * time.Second, Master: "http://m:5050"}, sub)

				require.True(t, s.send(t, heartbeatEvent))
				require.True(t, s.send(t, rescind("o1")))
				got := next[Received](r) // and not the heartbeat
				assert.Equal(t, "o1", got.Event.GetRescind().OfferID.Value)
				assert.Equal(t, s.id, got.StreamID)

				require.NoError(t, d.Enqueue(sub.StreamID, kill("t1")))
				synctest.Wait()
				asked, called := m.seenSubscriptions()[0], m.seenCalls()[0]
				assert.NotContains(t, asked.header, streamHeader, "Mesos rule 1")
				assert.Nil(t, asked.call.FrameworkID)
				assert.Equal(t, []string{"data"}, asked.call.GetSubscribe().FrameworkInfo.Roles)
				assert.Equal(t, s.id, called.header.Get(streamHeader))
				assert.Equal(t, "framework-1", called.call.FrameworkID.GetValue())
				assert.NotEqual(t, asked.connection, called.connection, "Mesos rule 1: calls use other connections")

				r.cancel()
				require.NoError(t, <-r.done)
				assert.ErrorIs(t, d.Enqueue(sub.StreamID, kill("t1")), ErrNotSubscribed)
			})
		})
	}
}

func TestStoredIdentityIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		assert.Equal(t, "stored", next[Subscribed](start(t, d, "stored")).FrameworkID)
		call := m.seenSubscriptions()[0].call
		assert.Equal(t, "stored", call.FrameworkID.GetValue())
		assert.Equal(t, "stored", call.GetSubscribe().FrameworkInfo.ID.GetValue())
	})
}

// A master that gives another id than the stored one would orphan all tasks.

func TestForeignIdentityIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.master(t, "m:5050").assign = "other"
		d, _ := testDriver(t, n, "m:5050", nil)
		err := start(t, d, "stored").ended()
		require.ErrorIs(t, err, ErrRefused)
		assert.ErrorContains(t, err, `subscribed as framework "stored" but http://m:5050 calls it "other"`)
	})
}

// So would a store that holds another id than this process was given.

func TestForeignStoredIdentityIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		d.frameworkID = "other" // as an earlier subscription of this process
		require.ErrorIs(t, start(t, d, "stored").ended(), ErrRefused)
	})
}

func TestRunTwiceIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		next[Subscribed](start(t, d, ""))
		assert.ErrorContains(t, start(t, d, "").ended(), "runs already")
	})
}

// A master that drops each subscription at once must not be hammered, since

// each one costs all agents (Mesos rule 7).

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		next[Subscribed](r)
		s := <-m.streams
		for range 20 {
			pass(70 * time.Second)
			require.True(t, s.send(t, heartbeatEvent), "alive with a heartbeat every 70 s")
		}
		last := time.Now()
		gone := next[Disconnected](r)
		assert.Equal(t, 75*time.Second, time.Since(last), "Mesos rule 4")
		assert.ErrorContains(t, gone.Reason, "nothing heard from http://m:5050 for 1m15s")
		<-s.closed // the driver closed its connection
		next[Subscribed](r)
	})
}

// A giant frame over a slow line is no silence, nor is a busy handler.

func TestSlownessIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		sub := next[Subscribed](r)
		s := <-m.streams
		for _, b := range s.frame(t, rescind("slow")) {
			pass(60 * time.Second)
			require.True(t, s.raw([]byte{b}))
		}
		assert.Equal(t, "slow", next[Received](r).Event.GetRescind().OfferID.Value)

		require.True(t, s.send(t, rescind("one")))
		require.True(t, s.send(t, rescind("two")))
		pass(10 * time.Minute) // the handler is stuck in "one"
		assert.Equal(t, "one", next[Received](r).Event.GetRescind().OfferID.Value)
		assert.Equal(t, sub.StreamID, next[Received](r).StreamID)
	})
}

// A frame that was read together with the last one waits while a handler is

// stuck in another event for longer than the watchdog allows.

func TestWaitingFrameIsNoSilence(t *testing.T) {
	base := &url.URL{Scheme: "http", Host: "m:5050"}
	for range 50 { // select chooses by chance
		synctest.Test(t, func(t *testing.T) {
			d, _ := testDriver(t, newNetwork(), "m:5050", nil)
			s := newSession(d, base, "stream", "framework", nil)
			frames := make(chan frame)
			go func() { s.failed <- CallFailed{} }()
			go func() { frames <- frame{event: rescind("waiting")} }()
			synctest.Wait()
			delivered := false
			err := s.serve(t.Context(), frames, &countingReader{}, nil, 15*time.Second, func(e Event) {
				if _, stuck := e.(CallFailed); stuck {
					pass(time.Hour)
				} else {
					delivered = true
				}
			})
			require.ErrorContains(t, err, "nothing heard")
			require.True(t, delivered, "the frame that waited came before the end")
		})
	}
}

func TestSubscribedMustComeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		m.onSubscribe = func(attempt int, w http.ResponseWriter, r *http.Request) bool {
			switch attempt {
			case 1: // no answer at all
			case 2: // an answer without events
				w.Header().Set(streamHeader, "s")
				w.(http.Flusher).Flush()
			default:
				return false
			}
			<-r.Context().Done()
			return true
		}
		var failed []error
		d, _ := testDriver(t, n, "m:5050", func(c *Config) {
			c.Hooks.ConnectFailed = func(err error) { failed = append(failed, err) }
		})
		next[Subscribed](start(t, d, ""))
		require.Len(t, failed, 2)
		for _, err := range failed {
			assert.ErrorContains(t, err, "did not subscribe us within 30s")
		}
	})
}

// TestBrokenStream: whatever the stream does, the driver subscribes again under

// the id it was given, although the store has not seen that id yet.

func TestBrokenStream(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes string
		want  string
	}{
		"ended between frames": {"", "unexpected EOF"},
		"cut in a length":      {"12", "unexpected EOF"},
		"cut in a frame":       {"12\nabc", "after 3 of 12 bytes of a frame"},
		"absurd length":        {"99999999999\n", "frame of 99999999999 bytes is above the limit of 67108864"},
		"length beyond 64 bit": {"99999999999999999999\n", "does not fit into 64 bits"},
		"no RecordIO":          {"<html>", "is not RecordIO"},
		"no event":             {"3\n\xff\xff\xff", "event of 3 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				m := n.master(t, "m:5050")
				d, _ := testDriver(t, n, "m:5050", nil)
				r := start(t, d, "")
				first := next[Subscribed](r)
				s := <-m.streams
				s.raw([]byte(tc.bytes))
				synctest.Wait()
				close(s.end)
				gone := next[Disconnected](r)
				assert.ErrorContains(t, gone.Reason, tc.want)
				assert.ErrorIs(t, gone.Reason, ErrUnavailable)
				assert.Equal(t, first.StreamID, gone.StreamID)
				second := next[Subscribed](r)
				assert.Equal(t, "framework-1", m.seenSubscriptions()[1].call.FrameworkID.GetValue(), "Mesos rule 8")
				assert.NotEqual(t, first.StreamID, second.StreamID)
			})
		})
	}
}

func TestErrorsThatEndTheDriver(t *testing.T) {
	for message, want := range map[string]error{
		"Framework failed over":                                 ErrFailedOver,
		"Framework has been removed":                            ErrFrameworkRemoved,
		"'FrameworkInfo.roles' contains duplicate items: { r }": ErrRefused,
		"Not authorized to use roles '{ data }'":                ErrRefused,
	} {
		for _, subscribed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%t", message, subscribed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newNetwork()
					m := n.master(t, "m:5050")
					if !subscribed {
						m.onSubscribe = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
							w.Header().Set(streamHeader, "s")
							codec, _ := codecFor(Protobuf)
							_, _ = w.Write((&stream{codec: codec}).frame(t, errorEvent(message)))
							return true
						}
					}
					d, _ := testDriver(t, n, "m:5050", nil)
					r := start(t, d, "stored")
					if subscribed {
						next[Subscribed](r)
						require.True(t, (<-m.streams).send(t, errorEvent(message)))
					}
					assert.Equal(t, message, next[Received](r).Event.GetError().Message)
					if subscribed {
						assert.ErrorIs(t, next[Disconnected](r).Reason, want)
					}
					err := <-r.done
					require.ErrorIs(t, err, want)
					assert.ErrorContains(t, err, message)
					pass(time.Hour)
					assert.Len(t, m.seenSubscriptions(), 1, "Mesos rule 2: never re-subscribe")
				})
			})
		}
	}
}

func TestRefusedSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		const body = "Failed to validate scheduler::Call: Authenticated principal 'other' does not match"
		m.onSubscribe = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, body, http.StatusBadRequest)
			return true
		}
		d, _ := testDriver(t, n, "m:5050", nil)
		err := start(t, d, "").ended()
		require.ErrorIs(t, err, ErrRefused)
		assert.ErrorContains(t, err, body)
	})
}

func TestSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(file, []byte("first-secret\n"), 0o600))
		n := newNetwork()
		m := n.master(t, "m:5050")
		m.onSubscribe = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if _, secret, _ := r.BasicAuth(); secret != "second-secret" {
				http.Error(w, "401 Unauthorized.", http.StatusUnauthorized)
				return true
			}
			return false
		}
		refused := make(chan error, 10)
		d, logs := testDriver(t, n, "m:5050", func(c *Config) {
			c.Principal, c.SecretFile = "berth", file
			c.Hooks.ConnectFailed = func(err error) { refused <- err }
		})
		r := start(t, d, "")
		// A wrong secret is waited out, since it can be put right.
		err := <-refused
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.NotContains(t, err.Error(), "first-secret")
		require.NoError(t, os.WriteFile(file, []byte("second-secret"), 0o600))
		sub := next[Subscribed](r)
		require.NoError(t, d.Enqueue(sub.StreamID, kill("t")))
		synctest.Wait()
		for _, header := range []http.Header{m.seenSubscriptions()[1].header, m.seenCalls()[0].header} {
			principal, secret, ok := (&http.Request{Header: header}).BasicAuth()
			require.True(t, ok)
			assert.Equal(t, "berth:second-secret", principal+":"+secret)
		}
		// A file that is gone is an error with its name, not a crash.
		require.NoError(t, os.Remove(file))
		close((<-m.streams).end)
		next[Disconnected](r)
		assert.ErrorContains(t, <-refused, file)
		for _, entry := range logs.All() {
			line := fmt.Sprint(entry.Message, entry.ContextMap())
			assert.NotContains(t, line, "first-secret")
			assert.NotContains(t, line, "second-secret")
		}
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", credentials{"p", "first-secret"},
			&credentials{"p", "first-secret"}, credentials{"p", "first-secret"}), "first-secret")
	})
}

// After a long outage a new leader is not kept waiting by the old one's backoff.

// electionOnly replaces the watching of ZooKeeper by the test itself.

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		seen := make(chan string, 100)
		d, _ := testDriver(t, n, "m:5050", func(c *Config) {
			c.Hooks = Hooks{
				Subscribed:   func() { seen <- "subscribed" },
				Disconnected: func() { seen <- "disconnected" },
				Event:        func(kind string, bytes int) { seen <- fmt.Sprint("event ", kind, " ", bytes > 0) },
				Call:         func(kind string, _ time.Duration, err error) { seen <- fmt.Sprint("call ", kind, " ", err) },
			}
		})
		r := start(t, d, "")
		sub := next[Subscribed](r)
		require.NoError(t, d.Enqueue(sub.StreamID, kill("t")))
		synctest.Wait()
		s := <-m.streams
		require.True(t, s.send(t, heartbeatEvent))
		synctest.Wait()
		close(s.end)
		next[Disconnected](r)
		var got []string
		for len(seen) > 0 {
			got = append(got, <-seen)
		}
		assert.Equal(t, strings.Split("event SUBSCRIBED true,subscribed,call KILL <nil>,event HEARTBEAT true,disconnected", ","), got)
	})
}

func TestHeartbeatInterval(t *testing.T) {
	for seconds, want := range map[float64]time.Duration{
		0: defaultHeartbeat, -1: defaultHeartbeat, 1e300: defaultHeartbeat, 0.5: 500 * time.Millisecond, 20: 20 * time.Second,
	} {
		assert.Equal(t, want, heartbeat(seconds), "%g", seconds)
	}
}
