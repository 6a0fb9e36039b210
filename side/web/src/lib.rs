//! HTTP: metrics and health; later the admin pages and forms.
