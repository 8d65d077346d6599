// Boost.JSON's own definitions, compiled once here, so that only Boost's headers need to be installed.
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <boost/json/src.hpp>
