from .score_figure import plot_scores as plot_scores
from .score_table import selected_table as selected_table
from .segmentation_figure import Segmented as Segmented, plot_segmentations as plot_segmentations
from .similarity_figure import plot_similarity as plot_similarity
