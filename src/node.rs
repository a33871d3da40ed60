//! One node, wired as a list that reads in order.
