//go:build !race

package proxy_test

const nostaleDefault = 2400

const racing = false
