from .vggsound_samples import (
    VGGSound50Files as VGGSound50Files,
    VGGSoundC2KDFiles as VGGSoundC2KDFiles,
    VGGSoundFiles as VGGSoundFiles,
)
