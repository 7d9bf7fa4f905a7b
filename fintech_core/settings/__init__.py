"""Settings. Everything that differs between installations comes from the environment.

``FINTECH_ENV`` is ``production`` unless it says otherwise: a process that was told nothing refuses to
start instead of running with debugging on or with sample secrets. ``.env.example`` explains each
variable.
"""

from fintech_core.settings.background import *
from fintech_core.settings.base import *
from fintech_core.settings.base import env
from fintech_core.settings.http import *
from fintech_core.settings.logs import *
from fintech_core.settings.money import *
from fintech_core.settings.payments import *
from fintech_core.settings.process import *
from fintech_core.settings.storage import *
from fintech_core.settings.users import *
from fintech_core.settings.webhooks import *

env.require_sound()
