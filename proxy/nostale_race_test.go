//go:build race

package proxy_test

// The race detector makes a history several times as slow.
const nostaleDefault = 400

const racing = true
