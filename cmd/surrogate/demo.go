package main

func demo(p *program, args []string) error { return nil }
