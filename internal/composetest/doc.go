// Package composetest holds the tests of docker-compose.yml and the Dockerfile. They read the files as
// Docker Compose does; they start no container, so what the images do with them stays untested here.
package composetest
