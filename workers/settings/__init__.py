"""Every setting, its default and where it was found; `declaration` has them, `files` says which files may be read."""

from workers.settings.declaration import (
    NO_FILES,
    STANDIN_PROVIDER,
    Settings,
    SettingsError,
    environment_name,
    load_settings,
    provider_line,
    setting_sources,
)

__all__ = [
    "NO_FILES",
    "STANDIN_PROVIDER",
    "Settings",
    "SettingsError",
    "environment_name",
    "load_settings",
    "provider_line",
    "setting_sources",
]
