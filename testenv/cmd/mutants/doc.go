// Command mutants breaks the product's code in known ways, one at a time, and sees a named test turn red for each: a test that cannot fail proves
// nothing. The working tree is not touched: go build's -overlay shows the compiler the broken file instead.
//
// What does not belong here: the tests themselves.
package main
