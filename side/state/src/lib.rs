//! Small shared facts: accounts, history.
