"""Every setting, its default and where it was found; `declaration` has them, `files` says which files may be read."""

from workers.settings.declaration import Settings, environment_name, load_settings, setting_sources
from workers.settings.error import SettingsError, UnknownAccount
from workers.settings.files import NO_FILES
from workers.settings.provider import STANDIN_PROVIDER, provider_line

__all__ = [
    "NO_FILES",
    "STANDIN_PROVIDER",
    "Settings",
    "SettingsError",
    "UnknownAccount",
    "environment_name",
    "load_settings",
    "provider_line",
    "setting_sources",
]
