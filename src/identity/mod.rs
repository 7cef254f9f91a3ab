//! Who somebody is: password directories, claims and groups to a principal.
