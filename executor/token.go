package executor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// tokenContext keeps these tokens apart from whatever else the key may sign.
const tokenContext = "berth task token v1\x00"

// Token is what one task shows to fetch its artifacts and to report: the hex
// HMAC-SHA256 of the task id under the scheduler's key. It needs no storage,
// and a leaked one is of use for one task only.
func Token(key []byte, taskID string) string {
	return hex.EncodeToString(mac(key, taskID))
}

// VerifyToken compares in constant time. An empty key verifies nothing, so that
// a scheduler without a key cannot be talked to with a token anyone can compute.
func VerifyToken(key []byte, taskID, token string) bool {
	got, err := hex.DecodeString(token)
	return err == nil && len(key) > 0 && taskID != "" && hmac.Equal(got, mac(key, taskID))
}

func mac(key []byte, taskID string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(tokenContext))
	h.Write([]byte(taskID))
	return h.Sum(nil)
}
