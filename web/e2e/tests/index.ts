import './media';
import './sfu';
import './chat';
import './recovery';
import './moderation';
import './entry';
import './accessibility';
import './firefox';
