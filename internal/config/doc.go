// Package config is the only reader of the environment and of phantom.yaml.
//
// What it promises: Load reads every variable that Phantom knows, once, and answers with a Config
// whose values have been checked, or with an error that holds one line for each wrong value. A line
// names the variable, the value (passwords are masked) and what is accepted. A variable that is set
// to nothing counts as not set. Paths in a Config are absolute.
//
// What it does not: it opens no connection, makes no folder and knows no driver. The Temporal
// variables are read by the subpackage temporalenv, so that this one stays light.
//
// The state of the private stack lies in the folder .phantom of the working directory. While that
// stack runs, its file stack.json gives the defaults of what the private stack provides.
package config
