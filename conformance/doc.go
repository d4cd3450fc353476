// Package conformance tests WebSocket servers and clients against RFC 6455 and RFC 7692, case by case.
//
// TestServer tests any server that echoes: every text or binary message comes back as one message of the same type.
// Client tests any client that asks for cases and echoes; TestClient drives a Go client through them.
//
// A case has an ID (RFC, section, number), a title, an expectation and a verdict:
//
//   - Strict: exactly as the RFC wants it, as early as possible.
//   - NonStrict: allowed, but not the best. The detail says what would be better.
//   - Informational: the RFC leaves it open. The detail says what the peer does.
//   - Unimplemented: the peer did not negotiate what the case needs.
//   - Failed: the peer broke a rule.
//
// # The protocol for clients under test
//
// The client opens a WebSocket connection to one of these paths (it is the protocol that the field's usual suite made
// popular, so that existing test clients work unchanged):
//
//	/cases, /getCaseCount          the server sends the number of cases as a text message and closes
//	/case?n=K&agent=NAME           case K, counted from 1: the client echoes every message, as long as the connection
//	/runCase?case=K&agent=NAME     lasts. Some cases end with a handshake that fails; the client goes on with the next
//	/getCaseInfo?case=K            a text message: {"id": "6455-5.2-01", "description": "..."}
//	/getCaseStatus?case=K&agent=NAME   a text message: {"behavior": "OK"}, or NON-STRICT, INFORMATIONAL, UNIMPLEMENTED,
//	                               FAILED
//	/report?agent=NAME             the agent is done: the report is finished, the server closes
//	/updateReports?agent=NAME
//
// A client offers compression, or not; without the offer the cases of RFC 7692 are Unimplemented. It should accept messages
// of 16 MiB.
//
// The suite writes and reads frames, handshakes and compressed messages with code of its own; it shares nothing with
// the library of this module.
package conformance
