//! Which namespaces a container gets: clone flags for new ones, descriptors for those it joins.
